//! What each page of a file is used for.

/// What a page is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// Nothing has named it yet.
    Unnamed,
    /// One of the two meta pages.
    Meta,
    /// The free list is written on it.
    Freelist,
    /// The free list names it.
    Free,
    /// A branch or leaf page, or the overflow of one.
    Tree,
}

impl Use {
    /// Returns whether the page has something that must stay.
    pub(super) fn needed(self) -> bool {
        match self {
            Self::Meta | Self::Freelist | Self::Tree => true,
            Self::Free | Self::Unnamed => false,
        }
    }

    /// Returns the use in words, to follow "it is …".
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Unnamed => "unused",
            Self::Meta => "a meta page",
            Self::Freelist => "part of the free list",
            Self::Free => "on the free list",
            Self::Tree => "part of a tree",
        }
    }
}

/// The use of every page below the high water mark.
#[derive(Clone, Debug)]
pub(super) struct Usage(Vec<Use>);

impl Usage {
    /// Returns this many pages; only the first two have a use.
    pub(super) fn new(pages: u64) -> Self {
        // There are no more pages than the file has, so the number fits.
        let mut usage = vec![Use::Unnamed; usize::try_from(pages).unwrap_or_default()];
        usage.iter_mut().take(2).for_each(|page| *page = Use::Meta);
        Self(usage)
    }

    /// Returns the use of a page; `None` if there is no such page.
    pub(super) fn get(&self, page: u64) -> Option<Use> {
        self.0.get(usize::try_from(page).ok()?).copied()
    }

    /// Sets the use of a page and its overflow.
    pub(super) fn set(&mut self, page: u64, overflow: u32, to: Use) {
        let pages = usize::try_from(page).unwrap_or(usize::MAX);
        let overflow = usize::try_from(overflow).unwrap_or(usize::MAX);
        let span = self
            .0
            .iter_mut()
            .skip(pages)
            .take(overflow.saturating_add(1));
        span.for_each(|page| *page = to);
    }

    /// Returns the first page with such a use, among a page and its overflow.
    pub(super) fn first(
        &self,
        page: u64,
        overflow: u32,
        such: impl Fn(Use) -> bool,
    ) -> Option<(u64, Use)> {
        (page..=page.saturating_add(overflow.into()))
            .map_while(|page| Some((page, self.get(page)?)))
            .find(|(_, used)| such(*used))
    }
}
