//! The counted tree against a sorted vector.

use super::*;
use proptest::prelude::*;

/// Checks the invariants of a subtree and counts its nodes; returns how deep it is.
fn check(node: &Node, nodes: &mut Nodes) -> usize {
    match node {
        Node::Leaf(leaf) => {
            nodes.leaves += 1;
            assert!(leaf.len() <= LEAF);
            0
        }
        Node::Inner(children) => {
            nodes.inners += 1;
            assert!((1..=FANOUT).contains(&children.len()) && children.capacity() == FANOUT + 1);
            let depths: Vec<usize> = children.iter().map(|child| check(&child.node, nodes)).collect();
            for child in children {
                assert!(child.count > 0);
                assert_eq!((child.first(), child.count), (child.node.first(), child.node.count()));
            }
            assert!(depths.iter().all(|depth| *depth == depths[0]), "{depths:?}");
            depths[0] + 1
        }
    }
}

fn keys(order: &Order) -> Vec<(i64, u32)> {
    let mut cursor = order.cursor(0);
    let keys: Vec<_> = std::iter::from_fn(|| cursor.forth()).map(pair).collect();
    let mut back: Vec<_> = std::iter::from_fn(|| cursor.back()).map(pair).collect();
    back.reverse();
    assert_eq!(back, keys);
    keys
}

fn pair(key: Key) -> (i64, u32) {
    (key.score as i64, key.id)
}

fn key((score, id): (i64, u32)) -> Key {
    Key { score: score as f64, id }
}

fn check_all(order: &Order, model: &[(i64, u32)]) {
    let mut nodes = Nodes::default();
    check(&order.root, &mut nodes);
    assert_eq!((nodes, order.len), (order.nodes, model.len()));
    assert_eq!(keys(order), model);
}

proptest! {
    #[test]
    fn behaves_as_a_sorted_vector(
        rounds in prop::collection::vec((0u8..6, 0i64..40, 1u32..900), 1..14),
        built in prop::collection::btree_set((0i64..40, 0u32..5_000), 0..3_000),
    ) {
        let mut model: Vec<(i64, u32)> = built.into_iter().collect();
        let mut order = Order::of_sorted(&model.iter().copied().map(key).collect::<Vec<_>>());
        check_all(&order, &model);
        let mut seed = 1u32;
        for (op, score, count) in rounds {
            for step in 0..count {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let new = match op {
                    0 => (score + i64::from(step), 0),
                    1 => (score - i64::from(step), 0),
                    2 | 3 => (i64::from(seed >> 24), seed & 0xffff),
                    _ if model.is_empty() => break,
                    4 => model[seed as usize % model.len()],
                    _ => model[(score as usize).min(model.len() - 1)],
                };
                match model.binary_search(&new) {
                    Err(at) if op < 4 => {
                        prop_assert_eq!(order.count(|k| pair(k) < new), at);
                        order.insert(key(new), |k| pair(k) < new);
                        model.insert(at, new);
                    }
                    Ok(at) if op >= 4 => {
                        prop_assert_eq!(order.remove(|k| pair(k) <= new).map(pair), Some(new));
                        model.remove(at);
                    }
                    Ok(at) if step % 8 == 0 && at + 1 < model.len() && model[at + 1] > (new.0, new.1 + 1) => {
                        order.renumber(|k| pair(k) <= new, new.1 + 1);
                        model[at].1 += 1;
                    }
                    _ => {}
                }
            }
            check_all(&order, &model);
            check_all(&order.clone(), &model);
            for rank in [0, 1, model.len() / 2, model.len()] {
                prop_assert_eq!(order.cursor(rank).forth().map(pair), model.get(rank).copied());
                let before = rank.checked_sub(1).and_then(|rank| model.get(rank).copied());
                prop_assert_eq!(order.cursor(rank).back().map(pair), before);
            }
        }
    }
}

#[test]
fn keys_that_come_in_order_fill_their_leaves() {
    for descending in [false, true] {
        let mut order = Order::default();
        for i in 0..100_000i64 {
            let new = (if descending { -i } else { i }, 0);
            order.insert(key(new), |k| pair(k) < new);
        }
        let per_key = order.memory_bytes() as f64 / 100_000.0;
        assert!(per_key < 14.0, "{per_key} bytes");
    }
}

#[test]
fn a_tree_that_was_emptied_gives_its_memory_back() {
    let all: Vec<Key> = (0..100_000).map(|i| key((i, 0))).collect();
    let mut order = Order::of_sorted(&all);
    let full = order.memory_bytes();
    assert!(full < 100_000 * 16, "{full} bytes");
    for i in (0..100_000).filter(|i| i % 100 != 0) {
        assert_eq!(order.remove(|k| k.score <= i as f64).map(pair), Some((i, 0)));
    }
    assert!(order.memory_bytes() < full / 20, "{} bytes of {full}", order.memory_bytes());
    assert_eq!(order.remove(|_| false), None);
    assert_eq!(keys(&order), (0..1000).map(|i| (i * 100, 0)).collect::<Vec<_>>());
}
