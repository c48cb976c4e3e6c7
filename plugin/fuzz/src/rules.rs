//! Of berth's room `rules`, what the readers name.

/// The facts, as they are.
#[path = "../../src/rules/evidence.rs"]
pub mod evidence;

/// Of leases, the names.
pub mod lease {
    /// A container's id.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct ContainerId(pub String);

    impl From<&str> for ContainerId {
        fn from(text: &str) -> Self {
            Self(text.to_owned())
        }
    }

    /// A moment.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Moment;

    /// A process.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Process {
        /// Its id.
        pub pid: i32,
        /// When it was started.
        pub start_time: u64,
    }
}
