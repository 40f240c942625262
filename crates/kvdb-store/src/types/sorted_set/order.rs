//! The order of a large sorted set: a B+tree that counts.
//!
//! Keys are scores with the numbers of members; the tree does not know the members, so every method is told by a
//! predicate where to go: it is true of all keys up to a place and of none behind it. An inner node says of each child
//! its first key and how many keys it has, so rank and key by rank take as many steps as a search. Keys stand in the
//! leaves, twelve bytes each. A leaf that overflows is halved, but one at either end of the whole is left full: members
//! often come in the order of their scores.
//!
//! B+trees are described by Comer (The Ubiquitous B-Tree, 1979); counting them is folklore.

use smallvec::SmallVec;

/// Keys of a leaf: what 768 bytes hold.
const LEAF: usize = 63;
/// Children of an inner node; one more stands there for a moment.
const FANOUT: usize = 31;
/// How full leaves and inner nodes are made that are built at once.
const BUILT_LEAF: usize = 56;
const BUILT_INNER: usize = 28;

/// A score and the number of the member that has it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Key {
    pub(super) score: f64,
    pub(super) id: u32,
}

#[derive(Debug, Clone)]
struct Leaf {
    scores: [f64; LEAF],
    ids: [u32; LEAF],
    len: u32,
}

#[derive(Debug)]
enum Node {
    Leaf(Box<Leaf>),
    Inner(Vec<Child>),
}

#[derive(Debug, Clone)]
struct Child {
    /// The first key.
    score: f64,
    id: u32,
    /// How many keys there are.
    count: u32,
    node: Node,
}

/// Keys in order.
///
/// # Invariants
///
/// * All leaves are equally deep. None is empty but that of an empty tree, and an inner node has children.
/// * First keys and counts in inner nodes are those of the children.
#[derive(Debug, Clone)]
pub(super) struct Order {
    root: Node,
    len: usize,
    nodes: Nodes,
}

/// How many nodes there are of each kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Nodes {
    leaves: usize,
    inners: usize,
}

/// Whether a node is the first or the last of all of its depth.
#[derive(Clone, Copy)]
struct Edges {
    first: bool,
    last: bool,
}

impl Default for Leaf {
    fn default() -> Self {
        Self { scores: [0.0; LEAF], ids: [0; LEAF], len: 0 }
    }
}

impl Leaf {
    fn len(&self) -> usize {
        self.len as usize
    }

    fn key(&self, at: usize) -> Key {
        Key { score: self.scores[at], id: self.ids[at] }
    }

    /// How many keys a predicate is true of.
    fn partition(&self, holds: &impl Fn(Key) -> bool) -> usize {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = usize::midpoint(low, high);
            if holds(self.key(middle)) { low = middle + 1 } else { high = middle }
        }
        low
    }

    fn insert(&mut self, at: usize, key: Key) {
        let len = self.len();
        self.scores.copy_within(at..len, at + 1);
        self.ids.copy_within(at..len, at + 1);
        (self.scores[at], self.ids[at]) = (key.score, key.id);
        self.len += 1;
    }

    fn remove(&mut self, at: usize) -> Key {
        let (key, len) = (self.key(at), self.len());
        self.scores.copy_within(at + 1..len, at);
        self.ids.copy_within(at + 1..len, at);
        self.len -= 1;
        key
    }

    fn append(&mut self, other: &Self) {
        let (start, end) = (self.len(), self.len() + other.len());
        self.scores[start..end].copy_from_slice(&other.scores[..other.len()]);
        self.ids[start..end].copy_from_slice(&other.ids[..other.len()]);
        self.len += other.len;
    }

    fn split_off(&mut self, at: usize) -> Box<Self> {
        let mut right = Box::<Self>::default();
        let len = self.len() - at;
        right.scores[..len].copy_from_slice(&self.scores[at..at + len]);
        right.ids[..len].copy_from_slice(&self.ids[at..at + len]);
        (self.len, right.len) = (at as u32, len as u32);
        right
    }
}

/// Room for the children of an inner node.
fn room() -> Vec<Child> {
    Vec::with_capacity(FANOUT + 1)
}

impl Clone for Node {
    fn clone(&self) -> Self {
        match self {
            Self::Leaf(leaf) => Self::Leaf(leaf.clone()),
            Self::Inner(children) => {
                let mut copies = room();
                copies.extend(children.iter().cloned());
                Self::Inner(copies)
            }
        }
    }
}

impl Child {
    fn of(node: Node) -> Self {
        let (Key { score, id }, count) = (node.first(), node.count());
        Self { score, id, count, node }
    }

    fn first(&self) -> Key {
        Key { score: self.score, id: self.id }
    }

    /// Takes over from the node what was changed in it.
    fn refresh(&mut self) {
        (Key { score: self.score, id: self.id }, self.count) = (self.node.first(), self.node.count());
    }
}

impl Node {
    /// The first key; anything when there is none.
    fn first(&self) -> Key {
        match self {
            Self::Leaf(leaf) => leaf.key(0),
            Self::Inner(children) => children[0].first(),
        }
    }

    fn count(&self) -> u32 {
        match self {
            Self::Leaf(leaf) => leaf.len,
            Self::Inner(children) => children.iter().map(|child| child.count).sum(),
        }
    }

    /// Adds a key behind those of which `before` is true. Returns what was split off at the right, if anything was.
    fn insert(
        &mut self,
        key: Key,
        before: &impl Fn(Key) -> bool,
        edges: Edges,
        nodes: &mut Nodes,
    ) -> Option<Self> {
        match self {
            Self::Leaf(leaf) => {
                let at = leaf.partition(before);
                if leaf.len() < LEAF {
                    leaf.insert(at, key);
                    return None;
                }
                let cut = cut(at, LEAF, LEAF, edges);
                let mut right = leaf.split_off(cut);
                if at < cut || cut == 0 {
                    leaf.insert(at, key)
                } else {
                    right.insert(at - cut, key)
                }
                nodes.leaves += 1;
                Some(Self::Leaf(right))
            }
            Self::Inner(children) => {
                let at = children.partition_point(|child| before(child.first())).saturating_sub(1);
                let below =
                    Edges { first: edges.first && at == 0, last: edges.last && at + 1 == children.len() };
                let split = children[at].node.insert(key, before, below, nodes);
                children[at].refresh();
                children.insert(at + 1, Child::of(split?));
                if children.len() <= FANOUT {
                    return None;
                }
                let cut = cut(at, FANOUT - 1, FANOUT, below).clamp(1, FANOUT);
                let mut right = room();
                right.extend(children.drain(cut..));
                nodes.inners += 1;
                Some(Self::Inner(right))
            }
        }
    }

    /// Takes the last key out of which `up_to` is true.
    fn remove(&mut self, up_to: &impl Fn(Key) -> bool, nodes: &mut Nodes) -> Option<Key> {
        match self {
            Self::Leaf(leaf) => Some(leaf.remove(leaf.partition(up_to).checked_sub(1)?)),
            Self::Inner(children) => {
                let at = children.partition_point(|child| up_to(child.first())).checked_sub(1)?;
                let removed = children[at].node.remove(up_to, nodes)?;
                children[at].count -= 1;
                if children[at].count == 0 {
                    children.remove(at).node.forget(nodes);
                } else {
                    children[at].refresh();
                    let is_sparse = match &children[at].node {
                        Self::Leaf(leaf) => leaf.len() < LEAF / 4,
                        Self::Inner(below) => below.len() < FANOUT / 4,
                    };
                    if is_sparse && !join(children, at, nodes) && at > 0 {
                        join(children, at - 1, nodes);
                    }
                }
                Some(removed)
            }
        }
    }

    /// Counts the nodes of an empty subtree as gone.
    fn forget(self, nodes: &mut Nodes) {
        match self {
            Self::Leaf(_) => nodes.leaves -= 1,
            Self::Inner(children) => {
                nodes.inners -= 1;
                children.into_iter().for_each(|child| child.node.forget(nodes));
            }
        }
    }

    /// Gives the last key of which `up_to` is true another number.
    fn renumber(&mut self, up_to: &impl Fn(Key) -> bool, id: u32) -> Option<()> {
        match self {
            Self::Leaf(leaf) => leaf.ids[leaf.partition(up_to).checked_sub(1)?] = id,
            Self::Inner(children) => {
                let at = children.partition_point(|child| up_to(child.first())).checked_sub(1)?;
                children[at].node.renumber(up_to, id)?;
                children[at].refresh();
            }
        }
        Some(())
    }
}

/// Where a full node is split when something comes in at `at`, of which `end` is behind all else.
fn cut(at: usize, end: usize, len: usize, edges: Edges) -> usize {
    match edges {
        Edges { last: true, .. } if at == end => len,
        Edges { first: true, .. } if at == 0 => 0,
        _ => len / 2,
    }
}

/// Joins the child at `at` with the next one when both together leave room; tells whether it did.
fn join(children: &mut Vec<Child>, at: usize, nodes: &mut Nodes) -> bool {
    let Some([left, right]) = children.get_mut(at..at + 2) else { return false };
    match (&mut left.node, &mut right.node) {
        (Node::Leaf(left), Node::Leaf(right)) if left.len() + right.len() <= LEAF * 3 / 4 => {
            left.append(right);
            nodes.leaves -= 1;
        }
        (Node::Inner(left), Node::Inner(right)) if left.len() + right.len() <= FANOUT * 3 / 4 => {
            left.append(right);
            nodes.inners -= 1;
        }
        _ => return false,
    }
    left.refresh();
    children.remove(at + 1);
    true
}

impl Default for Order {
    fn default() -> Self {
        Self { root: Node::Leaf(Box::default()), len: 0, nodes: Nodes { leaves: 1, inners: 0 } }
    }
}

impl Order {
    /// The tree of keys that are in order.
    pub(super) fn of_sorted(keys: &[Key]) -> Self {
        if keys.is_empty() {
            return Self::default();
        }
        let mut nodes = Nodes::default();
        let mut level: Vec<Child> = keys
            .chunks(BUILT_LEAF)
            .map(|keys| {
                let mut leaf = Box::<Leaf>::default();
                keys.iter().enumerate().for_each(|(at, &key)| leaf.insert(at, key));
                Child::of(Node::Leaf(leaf))
            })
            .collect();
        nodes.leaves = level.len();
        while level.len() > 1 {
            let (mut above, mut rest) = (Vec::new(), level.into_iter().peekable());
            while rest.peek().is_some() {
                let mut children = room();
                children.extend(rest.by_ref().take(BUILT_INNER));
                above.push(Child::of(Node::Inner(children)));
            }
            nodes.inners += above.len();
            level = above;
        }
        let root = level.pop().expect("there is a key, and so a node").node;
        Self { root, len: keys.len(), nodes }
    }

    /// Bytes of memory beside the structure itself.
    pub(super) fn memory_bytes(&self) -> usize {
        self.nodes.leaves * size_of::<Leaf>() + self.nodes.inners * (FANOUT + 1) * size_of::<Child>()
    }

    /// Adds a key behind those of which `before` is true.
    pub(super) fn insert(&mut self, key: Key, before: impl Fn(Key) -> bool) {
        let edges = Edges { first: true, last: true };
        if let Some(right) = self.root.insert(key, &before, edges, &mut self.nodes) {
            let left = std::mem::replace(&mut self.root, Node::Inner(room()));
            let Node::Inner(children) = &mut self.root else { unreachable!("it has just been put there") };
            children.extend([Child::of(left), Child::of(right)]);
            self.nodes.inners += 1;
        }
        self.len += 1;
    }

    /// Takes the last key out of which `up_to` is true.
    pub(super) fn remove(&mut self, up_to: impl Fn(Key) -> bool) -> Option<Key> {
        let removed = self.root.remove(&up_to, &mut self.nodes)?;
        self.len -= 1;
        if self.len == 0 {
            *self = Self::default();
        }
        while let Node::Inner(children) = &mut self.root
            && children.len() == 1
        {
            self.root = children.pop().expect("there is one").node;
            self.nodes.inners -= 1;
        }
        Some(removed)
    }

    /// Gives the last key of which `up_to` is true another number.
    pub(super) fn renumber(&mut self, up_to: impl Fn(Key) -> bool, id: u32) {
        let renumbered = self.root.renumber(&up_to, id);
        debug_assert!(renumbered.is_some(), "there is such a key");
    }

    /// How many keys a predicate is true of.
    pub(super) fn count(&self, holds: impl Fn(Key) -> bool) -> usize {
        let (mut node, mut count) = (&self.root, 0);
        loop {
            match node {
                Node::Leaf(leaf) => return count + leaf.partition(&holds),
                Node::Inner(children) => {
                    let at = children.partition_point(|child| holds(child.first())).saturating_sub(1);
                    count += children[..at].iter().map(|child| child.count as usize).sum::<usize>();
                    node = &children[at].node;
                }
            }
        }
    }

    /// The place before the key of a rank, or behind all of them.
    pub(super) fn cursor(&self, rank: usize) -> Cursor<'_> {
        let (mut node, mut rank, mut path) = (&self.root, rank, SmallVec::new());
        loop {
            match node {
                Node::Leaf(leaf) => return Cursor { path, leaf, at: rank.min(leaf.len()) },
                Node::Inner(children) => {
                    let mut at = 0;
                    while at + 1 < children.len() && rank >= children[at].count as usize {
                        rank -= children[at].count as usize;
                        at += 1;
                    }
                    path.push((&children[..], at));
                    node = &children[at].node;
                }
            }
        }
    }
}

/// A place between two keys, from which the order is read in either direction.
#[derive(Debug, Clone)]
pub(super) struct Cursor<'o> {
    /// The inner nodes above the leaf, and which of their children is meant.
    path: SmallVec<[(&'o [Child], usize); 6]>,
    leaf: &'o Leaf,
    at: usize,
}

impl Cursor<'_> {
    /// Steps over the key behind this place, and shows it.
    pub(super) fn forth(&mut self) -> Option<Key> {
        if self.at == self.leaf.len() {
            self.turn(|children, at| (at + 1 < children).then_some(at + 1), |_| 0)?;
            self.at = 0;
        }
        if self.at == self.leaf.len() {
            return None;
        }
        self.at += 1;
        Some(self.leaf.key(self.at - 1))
    }

    /// Steps back over the key before this place, and shows it.
    pub(super) fn back(&mut self) -> Option<Key> {
        if self.at == 0 {
            self.turn(|_, at| at.checked_sub(1), |children| children - 1)?;
            self.at = self.leaf.len();
        }
        self.at = self.at.checked_sub(1)?;
        Some(self.leaf.key(self.at))
    }

    /// Goes to the leaf beside this one; the place stays where there is none.
    fn turn(
        &mut self,
        beside: impl Fn(usize, usize) -> Option<usize>,
        end: impl Fn(usize) -> usize,
    ) -> Option<()> {
        let level = self.path.iter().rposition(|(children, at)| beside(children.len(), *at).is_some())?;
        self.path.truncate(level + 1);
        let (children, at) = self.path.last_mut()?;
        *at = beside(children.len(), *at)?;
        let mut node = &children[*at].node;
        loop {
            match node {
                Node::Leaf(leaf) => {
                    self.leaf = leaf;
                    return Some(());
                }
                Node::Inner(children) => {
                    let at = end(children.len());
                    self.path.push((&children[..], at));
                    node = &children[at].node;
                }
            }
        }
    }
}

#[cfg(test)]
#[path = "order_tests.rs"]
mod tests;
