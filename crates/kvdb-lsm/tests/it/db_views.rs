//! Views: many of them alive, each of its own moment, and what is let go when they end.

use crate::db_support::{History, KEYS, key, random_batch, small};
use crate::db_walks::Walk;
use crate::support::Rng;
use kvdb_lsm::Db;
use kvdb_lsm::batch::WriteBatch;
use kvdb_lsm::vfs::SimVfs;

#[test]
fn hundreds_of_views_each_show_their_moment() {
    let db = Db::open(small(&SimVfs::new())).expect("open");
    let mut rng = Rng::new(5);
    let mut history = History::default();
    let mut views = Vec::new();
    for n in 0..400 {
        let batch = random_batch(&mut rng);
        let seq = db.append(&batch).expect("append");
        history.push(batch, seq);
        views.push((db.view(), history.model.clone()));
        match n % 60 {
            20 => db.flush().expect("flush"),
            40 => drop(db.compact_step().expect("compact")),
            _ => {}
        }
    }
    let stats = db.stats();
    assert_eq!((stats.views, stats.oldest_view), (400, Some(views[0].0.seq())));
    // In no order: a view that ends must not take anything from those that live.
    while !views.is_empty() {
        let (view, model) = views.swap_remove(rng.below(views.len() as u64) as usize);
        for _ in 0..2 {
            Walk::random(&mut rng).check(&db, &view, &model.rows, "a view of many");
        }
        model.assert_many(&db, Some(&view), &mut rng, "a view of many");
        drop(view);
        let oldest = views.iter().map(|(view, _)| view.seq()).min();
        assert_eq!(db.stats().oldest_view, oldest);
    }
    assert_eq!(db.stats().views, 0);
    history.model.assert_equals(&db, "without views");
}

#[test]
fn an_iterator_outlives_its_view_and_its_database() {
    let db = Db::open(small(&SimVfs::new())).expect("open");
    let mut batch = WriteBatch::new();
    (0..KEYS).for_each(|n| batch.put(&key(n), b"then"));
    db.append(&batch).expect("append");
    db.flush().expect("flush");
    let mut iter = db.iter_all(&db.view());
    assert_eq!(db.stats().views, 1, "the iterator holds the view");
    batch.clear();
    (0..KEYS).for_each(|n| batch.delete(&key(n)));
    db.append(&batch).expect("append");
    db.compact().expect("compact");
    drop(db);
    for n in (0..KEYS).rev() {
        let row = iter.seek_for_prev(&key(n)).expect("seek");
        assert_eq!(row, Some((&key(n)[..], &b"then"[..])));
    }
}

#[test]
fn a_view_of_nothing_shows_nothing() {
    let db = Db::open(small(&SimVfs::new())).expect("open");
    let view = db.view();
    db.append(&random_batch(&mut Rng::new(1))).expect("append");
    assert_eq!(view.seq(), 0);
    let mut iter = db.iter_all(&view);
    assert_eq!(iter.seek_first().expect("seek"), None);
    assert_eq!(iter.prev_entry().expect("step"), None);
    assert_eq!(iter.seek_last().expect("seek"), None);
    assert_eq!(iter.next_entry().expect("step"), None);
    assert_eq!(db.iter_all(&view).count() + db.iter_prefix(b"k", &view).descending().count(), 0);
}
