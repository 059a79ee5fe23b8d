//! An automaton over all patterns at once (Aho and Corasick, 1975).
//!
//! It answers, after each byte: how long is the longest pattern that ends
//! here, and how much of the end of the text may be the beginning of one.

use std::collections::{BTreeSet, HashMap, VecDeque};

use super::scanner::Scanner;

/// A place in the automaton. 0, the root, is in no pattern.
pub(super) type State = u32;

#[derive(Debug)]
pub(super) struct Automaton {
    nodes: Vec<Node>,
    /// The edges of all nodes, those of one node beside each other, by byte.
    edges: Vec<(u8, State)>,
    root: Box<[State; 256]>,
    scanner: Scanner,
}

#[derive(Debug, Clone, Copy, Default)]
struct Node {
    /// Where its edges begin and end.
    edges: (u32, u32),
    /// The longest proper suffix that is itself a place here.
    fail: State,
    /// The length of the longest pattern that ends here; 0 if none does.
    found: u32,
    /// How much of the end of the text may be the beginning of a pattern that
    /// has not ended yet.
    open: u32,
}

impl Automaton {
    pub(super) fn new(patterns: &BTreeSet<Vec<u8>>) -> Self {
        let mut tree = Tree::default();
        for pattern in patterns {
            tree.insert(pattern);
        }
        let mut automaton = tree.flatten(Scanner::new(patterns));
        automaton.link();
        automaton
    }

    /// How many bytes at the beginning of `text` no pattern can begin in,
    /// given that none is open before it.
    pub(super) fn skip(&self, text: &[u8]) -> usize {
        self.scanner.skip(text)
    }

    /// The place after one more byte.
    #[inline]
    pub(super) fn step(&self, mut state: State, byte: u8) -> State {
        loop {
            if state == 0 {
                return self.root.get(usize::from(byte)).copied().unwrap_or(0);
            }
            if let Some(next) = self.child(state, byte) {
                return next;
            }
            state = self.node(state).fail;
        }
    }

    /// The length of the longest pattern that ends at this place.
    #[inline]
    pub(super) fn found(&self, state: State) -> usize {
        self.node(state).found as usize
    }

    /// How much of the end of the text may be the beginning of a pattern.
    #[inline]
    pub(super) fn open(&self, state: State) -> usize {
        self.node(state).open as usize
    }

    #[inline]
    fn child(&self, state: State, byte: u8) -> Option<State> {
        let edges = self.edges_of(state);
        if let [(only, next)] = edges {
            return (*only == byte).then_some(*next);
        }
        let index = edges
            .binary_search_by_key(&byte, |(known, _)| *known)
            .ok()?;
        edges.get(index).map(|(_, next)| *next)
    }

    fn edges_of(&self, state: State) -> &[(u8, State)] {
        let (begin, end) = self.node(state).edges;
        self.edges
            .get(begin as usize..end as usize)
            .unwrap_or_default()
    }

    #[inline]
    fn node(&self, state: State) -> Node {
        self.nodes.get(state as usize).copied().unwrap_or_default()
    }

    /// Fills in `fail`, `found` and `open`, the shallow places first: each
    /// needs only those of shallower ones.
    fn link(&mut self) {
        let mut queue: VecDeque<_> = self
            .edges_of(0)
            .iter()
            .map(|(_, child)| (*child, 1))
            .collect();
        while let Some((state, depth)) = queue.pop_front() {
            let fail = self.node(self.node(state).fail);
            let ends_nothing_more = self.edges_of(state).is_empty();
            if let Some(node) = self.nodes.get_mut(state as usize) {
                node.found = node.found.max(fail.found);
                node.open = if ends_nothing_more { fail.open } else { depth };
            }
            for (byte, child) in self.edges_of(state).to_vec() {
                let fail = self.step(self.node(state).fail, byte);
                if let Some(node) = self.nodes.get_mut(child as usize) {
                    node.fail = fail;
                }
                queue.push_back((child, depth + 1));
            }
        }
    }
}

/// The patterns as a tree, while it grows.
#[derive(Default)]
struct Tree {
    children: HashMap<(State, u8), State>,
    /// The length of the pattern that ends at a place.
    ends: HashMap<State, u32>,
}

impl Tree {
    fn insert(&mut self, pattern: &[u8]) {
        let mut state = 0;
        for byte in pattern {
            let next = State::try_from(self.children.len() + 1).unwrap_or(State::MAX);
            state = *self.children.entry((state, *byte)).or_insert(next);
        }
        self.ends
            .insert(state, u32::try_from(pattern.len()).unwrap_or(u32::MAX));
    }

    fn flatten(self, scanner: Scanner) -> Automaton {
        let mut edges: Vec<_> = self.children.into_iter().collect();
        edges.sort_unstable();
        let mut nodes = vec![Node::default(); edges.len() + 1];
        for (index, ((parent, _), _)) in (0_u32..).zip(&edges) {
            if let Some(node) = nodes.get_mut(*parent as usize) {
                let begin = if node.edges.1 == 0 {
                    index
                } else {
                    node.edges.0
                };
                node.edges = (begin, index + 1);
            }
        }
        for (state, length) in self.ends {
            if let Some(node) = nodes.get_mut(state as usize) {
                node.found = length;
            }
        }
        let mut root = Box::new([0; 256]);
        for ((_, byte), child) in edges.iter().take_while(|((parent, _), _)| *parent == 0) {
            if let Some(entry) = root.get_mut(usize::from(*byte)) {
                *entry = *child;
            }
        }
        let edges = edges
            .into_iter()
            .map(|((_, byte), child)| (byte, child))
            .collect();
        Automaton {
            nodes,
            edges,
            root,
            scanner,
        }
    }
}
