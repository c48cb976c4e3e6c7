//! The two meta pages: each names a tree, and bbolt writes them in turn. The valid one with
//! the higher transaction number counts; the other is there in case that one was torn.
//!
//! ```text
//! behind the page's header of 16 bytes:
//!  0 magic u32      16 root bucket's page u64      40 high water mark u64
//!  4 version u32    24 root bucket's sequence u64  48 transaction u64
//!  8 page size u32  32 free list's page u64        56 FNV-1a (64 bits) of all before
//! 12 flags u32
//! ```

use super::Damage;
use super::page::{HEADER, META, u32_at, u64_at};

const MAGIC: u32 = 0xED0C_DAED;
const VERSION: u32 = 2;
/// In place of the free list's page number: there is no list, and every page that no tree
/// reaches is free.
const NO_FREELIST: u64 = u64::MAX;

/// The length of the part that the checksum covers, and of the whole.
const SUMMED: usize = 56;
const LENGTH: usize = 64;

/// A page must have room for a meta page.
const MIN_PAGE_SIZE: usize = 128;

/// A valid meta page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Meta {
    /// 0 or 1.
    pub(super) page: u64,
    pub(super) page_size: usize,
    pub(super) root: u64,
    pub(super) sequence: u64,
    pub(super) freelist: Option<u64>,
    /// How many pages were ever in use: every page's number is lower.
    pub(super) high_water: u64,
    pub(super) transaction: u64,
}

impl Meta {
    /// Reads the meta page that begins here.
    fn parse(page: u64, bytes: &[u8]) -> Result<Self, Damage> {
        let damage = |problem: &str| Damage {
            page,
            problem: problem.to_owned(),
        };
        let meta = bytes
            .get(HEADER..HEADER + LENGTH)
            .ok_or_else(|| damage("the file ends before its meta page does"))?;
        let u32_at = |at| u32_at(meta, at).unwrap_or_default();
        let u64_at = |at| u64_at(meta, at).unwrap_or_default();
        if u32_at(0) == MAGIC.swap_bytes() {
            return Err(damage(
                "it was written by a machine with the other byte order",
            ));
        }
        if u32_at(0) != MAGIC {
            return Err(damage("it is not a meta page of bbolt's"));
        }
        if u32_at(4) != VERSION {
            let problem = format!("its format is version {}, not {VERSION}", u32_at(4));
            return Err(damage(&problem));
        }
        if u64_at(SUMMED) != fnv1a(&meta[..SUMMED]) {
            return Err(damage("its checksum does not match"));
        }
        let page_size = usize::try_from(u32_at(8)).unwrap_or_default();
        if page_size < MIN_PAGE_SIZE {
            return Err(damage(&format!("its page size is {page_size}")));
        }
        Ok(Self {
            page,
            page_size,
            root: u64_at(16),
            sequence: u64_at(24),
            freelist: Some(u64_at(32)).filter(|page| *page != NO_FREELIST),
            high_water: u64_at(40),
            transaction: u64_at(48),
        })
    }

    /// Returns the bytes of a whole page.
    pub(super) fn to_page(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.page_size];
        let page_size = u32::try_from(self.page_size).unwrap_or_default();
        bytes[..8].copy_from_slice(&self.page.to_le_bytes());
        bytes[8..10].copy_from_slice(&META.to_le_bytes());
        let meta = &mut bytes[HEADER..HEADER + LENGTH];
        meta[..4].copy_from_slice(&MAGIC.to_le_bytes());
        meta[4..8].copy_from_slice(&VERSION.to_le_bytes());
        meta[8..12].copy_from_slice(&page_size.to_le_bytes());
        let numbers = [
            self.root,
            self.sequence,
            self.freelist.unwrap_or(NO_FREELIST),
            self.high_water,
            self.transaction,
        ];
        for (place, number) in meta[16..SUMMED].chunks_exact_mut(8).zip(numbers) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        let sum = fnv1a(&meta[..SUMMED]);
        meta[SUMMED..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }
}

/// The meta pages of a file.
#[derive(Debug)]
pub(super) struct Metas {
    /// The one that counts.
    pub(super) current: Meta,
    /// The other one: what it says, or why it says nothing.
    pub(super) other: Result<Meta, Damage>,
}

impl Metas {
    /// Finds both. Only the first one says where the second one lies; without it, every power
    /// of two is tried, as bbolt does (`getPageSizeFromSecondMeta`).
    ///
    /// # Errors
    /// If neither is valid; the error says what is wrong with the first.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Damage> {
        let first = Meta::parse(0, bytes).and_then(|meta| roomy(meta, bytes.len()));
        let second = match &first {
            Ok(first) => at(bytes, first.page_size),
            Err(_) => (10..=24)
                .find_map(|power| at(bytes, 1 << power).ok())
                .ok_or(Damage {
                    page: 1,
                    problem: "it cannot be found".to_owned(),
                }),
        };
        match (first, second) {
            (Err(damage), Err(_)) => Err(damage),
            (Ok(first), Ok(second)) if second.transaction > first.transaction => Ok(Self {
                current: second,
                other: Ok(first),
            }),
            (Ok(first), second) => Ok(Self {
                current: first,
                other: second,
            }),
            (Err(damage), Ok(second)) => Ok(Self {
                current: second,
                other: Err(damage),
            }),
        }
    }
}

/// Reads the second meta page, assuming this page size.
fn at(bytes: &[u8], page_size: usize) -> Result<Meta, Damage> {
    let meta = Meta::parse(1, bytes.get(page_size..).unwrap_or_default())?;
    if meta.page_size != page_size {
        let problem = format!(
            "it says that pages have {} bytes, but lies at byte {page_size}",
            meta.page_size
        );
        return Err(Damage { page: 1, problem });
    }
    roomy(meta, bytes.len())
}

/// Refuses a page size if the file does not hold two such pages.
fn roomy(meta: Meta, length: usize) -> Result<Meta, Damage> {
    if length / 2 < meta.page_size {
        let problem = format!(
            "the file is too short for two pages of {} bytes",
            meta.page_size
        );
        return Err(Damage {
            page: meta.page,
            problem,
        });
    }
    Ok(meta)
}

fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
