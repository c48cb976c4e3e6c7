//! Links the programs that stand for the plugin in a benchmark as the plugin is linked.

#[allow(dead_code)]
#[path = "../plugin/build.rs"]
mod plugin;

fn main() -> std::io::Result<()> {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=../plugin/build.rs");
    plugin::without_shared_libraries("bin=lease-once")?;
    plugin::without_shared_libraries("bin=bare-plugin")
}
