//! Of berth's room `sight`, what reads `/proc`.

use std::cell::RefCell;
use std::io;

pub use crate::rules::evidence::Evidence;

#[path = "../../src/sight/proc_net.rs"]
mod proc_net;
#[path = "../../src/sight/proc_text.rs"]
mod proc_text;
#[path = "../../src/sight/survey/storage.rs"]
mod storage;

thread_local! {
    static INPUT: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// In the place of the file system: every file says the same.
fn read_proc(_path: &str, limit: u64) -> io::Result<Vec<u8>> {
    let input = INPUT.with_borrow(Clone::clone);
    match u64::try_from(input.len()) {
        Ok(length) if length <= limit => Ok(input),
        _ => Err(io::Error::other("too long")),
    }
}

/// Reads the input as one of the files, its first byte says which.
pub fn read(input: &[u8]) {
    let Some((which, input)) = input.split_first() else {
        return;
    };
    INPUT.with_borrow_mut(|bytes| input.clone_into(bytes));
    match which % 4 {
        0 => drop(proc_net::view_of("7")),
        1 => {
            let evidence = Evidence::default();
            let roots = storage::RunRoots::of_host("/run/containers/networks".as_ref(), &evidence);
            if let Some(container) = roots.container_of(7) {
                assert_eq!(container.0.len(), 64);
            }
        }
        2 => {
            let arguments = proc_text::arguments(input);
            assert!(arguments.iter().map(String::len).sum::<usize>() <= 3 * input.len());
        }
        _ => drop(proc_text::effective_user(input)),
    }
}
