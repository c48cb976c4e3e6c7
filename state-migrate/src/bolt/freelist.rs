//! The free list: the numbers of the pages that nothing uses. A list of more than 65,534 pages
//! has 65,535 in its header, and its length before the first number. bbolt's two kinds (array,
//! hashmap) are the same in the file.

use super::Damage;
use super::page::{FREELIST, HEADER, Pages, u64_at};
use super::usage::{Usage, Use};

/// Instead of the count: the first number is the count.
const COUNT_FOLLOWS: u16 = 0xFFFF;

/// Marks the pages of the free list, and those it names. Stops at the first damage; what was
/// read so far stays marked.
pub(super) fn read(page: u64, pages: &Pages<'_>, usage: &mut Usage) -> Result<(), Damage> {
    let list = pages.get(page)?;
    let damage = |problem: String| Damage { page, problem };
    if list.flags != FREELIST {
        return Err(damage(format!(
            "it should be the free list, but has type {:#x}",
            list.flags
        )));
    }
    usage.set(page, list.overflow, Use::Freelist);
    let (first, count) = match list.count {
        COUNT_FOLLOWS => (1, u64_at(list.bytes, HEADER).unwrap_or(u64::MAX)),
        count => (0, u64::from(count)),
    };
    let room = (list.bytes.len() - HEADER) / 8 - first;
    let count = usize::try_from(count).ok().filter(|count| *count <= room);
    let Some(count) = count else {
        return Err(damage(
            "it has no room for as many free pages as it counts".to_owned(),
        ));
    };
    let numbers = list.bytes[HEADER..].chunks_exact(8).skip(first).take(count);
    for number in numbers {
        let number = u64_at(number, 0).unwrap_or_default();
        match usage.get(number) {
            Some(Use::Unnamed) => usage.set(number, 0, Use::Free),
            Some(Use::Free) => return Err(damage(format!("it names page {number} twice"))),
            Some(other) => {
                let problem = format!("it names page {number}, which is {}", other.name());
                return Err(damage(problem));
            }
            None => {
                let problem = format!(
                    "it names page {number}, but there are only {}",
                    pages.count()
                );
                return Err(damage(problem));
            }
        }
    }
    Ok(())
}

/// Returns how many bytes a list of this many pages takes, with the page's header.
pub(super) fn length(count: usize) -> usize {
    let follows = usize::from(count >= usize::from(COUNT_FOLLOWS));
    HEADER + 8 * (count + follows)
}

/// Writes a list behind a page's header, and returns the header's count.
pub(super) fn write(free: &[u64], bytes: &mut [u8]) -> u16 {
    let short = u16::try_from(free.len())
        .ok()
        .filter(|count| *count < COUNT_FOLLOWS);
    let length = free.len() as u64;
    let count = short.is_none().then_some(&length);
    let numbers = count.into_iter().chain(free);
    for (place, number) in bytes[HEADER..].chunks_exact_mut(8).zip(numbers) {
        place.copy_from_slice(&number.to_le_bytes());
    }
    short.unwrap_or(COUNT_FOLLOWS)
}
