//! Mutations that get past the checksums and hit what holds a file together.
//!
//! Most change a field of a page (its number, type, count or overflow, a position, a
//! size, a child, a number on the free list, a field of a meta page), copy a page over
//! another, or cut the file; some leave it to libFuzzer. Then the meta pages get their
//! checksums right, mostly.

use libfuzzer_sys::fuzzer_mutate;

const HEADER: usize = 16;
const MAGIC: [u8; 4] = 0xED0C_DAEDu32.to_le_bytes();
const META_LENGTH: usize = 64;

/// Values at the edges of what is checked.
const EDGES: [u64; 14] = [
    0,
    1,
    2,
    3,
    0x0F,
    0x10,
    0x100,
    0xFFFE,
    0xFFFF,
    0x1_0000,
    0x7FFF_FFFF,
    0xFFFF_FFFF,
    u64::MAX - 1,
    u64::MAX,
];

/// Changes a file, and returns its new length.
pub fn mutate(data: &mut [u8], size: usize, max_size: usize, seed: u32) -> usize {
    let mut random = Random(u64::from(seed) << 1 | 1);
    let mut size = size;
    let page_size = page_size(&data[..size]);
    if size < HEADER + META_LENGTH || random.below(4) == 0 {
        size = fuzzer_mutate(data, size, max_size);
    } else {
        for _ in 0..=random.below(3) {
            size = change(&mut data[..size], page_size, &mut random);
        }
    }
    if random.below(8) != 0 {
        for start in [0, page_size] {
            sign(&mut data[..size], start);
        }
    }
    size
}

fn change(data: &mut [u8], page_size: usize, random: &mut Random) -> usize {
    let pages = (data.len() / page_size).max(1);
    let page = random.below(pages) * page_size;
    let end = (page + page_size).min(data.len());
    match random.below(8) {
        0 => {
            let other = random.below(pages) * page_size;
            data.copy_within(page..end, other.min(data.len() - (end - page)));
        }
        // The numbers of the pages are one another's children.
        1 => put(
            data,
            page + 8 * random.below(page_size / 8),
            8,
            random.below(pages) as u64,
        ),
        2 => {
            let field = [(0, 8), (8, 2), (10, 2), (12, 4)][random.below(4)];
            tweak(data, page + field.0, field.1, random);
        }
        // A position, a size, half a child: all have four bytes.
        3..=5 => {
            let element = page + HEADER + HEADER * random.below(24);
            tweak(data, element + 4 * random.below(4), 4, random);
        }
        // Of a meta page: what comes before the checksum.
        6 => {
            let meta = [0, page_size][random.below(2)] + HEADER;
            let field = [(8, 4), (16, 8), (24, 8), (32, 8), (40, 8), (48, 8)][random.below(6)];
            tweak(data, meta + field.0, field.1, random);
        }
        _ if random.below(4) == 0 => return data.len() - random.below(data.len() / 4),
        _ => {
            let at = random.below(data.len());
            data[at] ^= 1 << random.below(8);
        }
    }
    data.len()
}

/// Changes a number, a little or altogether.
fn tweak(data: &mut [u8], at: usize, length: usize, random: &mut Random) {
    let mut bytes = [0; 8];
    if let Some(old) = data.get(at..at + length) {
        bytes[..length].copy_from_slice(old);
    }
    let old = u64::from_le_bytes(bytes);
    let small = 1 + random.below(32) as u64;
    let new = match random.below(5) {
        0 => EDGES[random.below(EDGES.len())],
        1 => old.wrapping_add(small),
        2 => old.wrapping_sub(small),
        3 => old ^ (1 << random.below(8 * length)),
        _ => random.below(64) as u64,
    };
    put(data, at, length, new);
}

fn put(data: &mut [u8], at: usize, length: usize, number: u64) {
    if let Some(place) = data.get_mut(at..at + length) {
        place.copy_from_slice(&number.to_le_bytes()[..length]);
    }
}

/// The page size, as the first meta page says, or as the second's place shows.
fn page_size(data: &[u8]) -> usize {
    let magic = |start: usize| data.get(start + HEADER..start + HEADER + 4) == Some(&MAGIC[..]);
    let said = || {
        let bytes = data.get(HEADER + 8..HEADER + 12)?.first_chunk()?;
        usize::try_from(u32::from_le_bytes(*bytes)).ok()
    };
    let second = (10..17).map(|power| 1 << power).find(|size| magic(*size));
    said()
        .filter(|size| (64..=1 << 17).contains(size))
        .or(second)
        .unwrap_or(4096)
}

/// Makes the checksum of a meta page right, if there is one.
fn sign(data: &mut [u8], start: usize) {
    let Some(meta) = data.get_mut(start + HEADER..start + HEADER + META_LENGTH) else {
        return;
    };
    if meta[..4] != MAGIC {
        return;
    }
    let sum = meta[..56]
        .iter()
        .fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
    meta[56..].copy_from_slice(&sum.to_le_bytes());
}

/// Random enough for this: a linear congruential generator with libFuzzer's seed.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit.max(1)
    }
}
