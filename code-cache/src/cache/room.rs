//! Makes room: which namespace gives up which code.
//!
//! Each containerd namespace that holds code has an equal share of the cache. As long as
//! there is room, it may hold more; when room is needed, only those above their share give
//! something up, so nobody can flush the code of others. Code without a namespace, which an
//! administrator has added and no container has used yet, is treated like a namespace's.
//!
//! Code that several namespaces use is held by each of them: it counts towards the share of
//! each, and goes when the last one gives it up.

use std::collections::BTreeSet;
use std::time::SystemTime;

/// Who holds code: a namespace, or nobody but the administrator.
pub type Holder = Option<String>;

/// Code in the cache, as far as eviction is concerned.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Bytes on the disk.
    pub size: u64,
    /// Who holds it, and when each has used it last. Never empty.
    pub holders: Vec<(Holder, SystemTime)>,
}

/// Finds out who has to give up what so that `writer` can add `need` bytes and all fits into
/// `limit` bytes: indices of `entries` with holders. `None` if that cannot be without
/// taking from a share.
pub fn plan(mut entries: Vec<Entry>, writer: &Holder, need: u64, limit: u64) -> Option<Vec<(usize, Holder)>> {
    let holders = entries.iter().flat_map(|entry| entry.holders.iter().map(|(holder, _)| holder));
    let everybody: BTreeSet<Holder> = holders.chain([writer]).cloned().collect();
    let share = share(limit, everybody.len());
    let mut given_up = Vec::new();
    loop {
        let total: u64 =
            entries.iter().filter(|entry| !entry.holders.is_empty()).map(|entry| entry.size).sum();
        if total.saturating_add(need) <= limit {
            return Some(given_up);
        }
        let holds = |holder: &Holder| -> u64 {
            let held = entries.iter().filter(|entry| entry.holders.iter().any(|(who, _)| who == holder));
            held.map(|entry| entry.size).sum()
        };
        let own = holds(writer);
        let from = match own > 0 && own.saturating_add(need) > share {
            true => writer,
            false => everybody
                .iter()
                .filter(|holder| *holder != writer && holds(holder) > share)
                .max_by_key(|holder| holds(holder))?,
        };
        let uses = entries.iter().enumerate().flat_map(|(index, entry)| {
            let of_holder = entry.holders.iter().filter(|(holder, _)| holder == from);
            of_holder.map(move |(_, used)| (*used, index))
        });
        let (_, index) = uses.min()?;
        entries[index].holders.retain(|(holder, _)| holder != from);
        given_up.push((index, from.clone()));
    }
}

/// The bytes that each of `holders` can rely on.
pub fn share(limit: u64, holders: usize) -> u64 {
    limit / (holders.max(1) as u64)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn holder(name: &str) -> Holder {
        (!name.is_empty()).then(|| name.to_owned())
    }

    /// An entry with holders and the seconds when they have used it.
    fn entry(size: u64, holders: &[(&str, u64)]) -> Entry {
        let time = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        Entry { size, holders: holders.iter().map(|(name, used)| (holder(name), time(*used))).collect() }
    }

    fn give_up(entries: &[Entry], writer: &str, need: u64, limit: u64) -> Option<Vec<(usize, String)>> {
        let plan = plan(entries.to_vec(), &holder(writer), need, limit)?;
        Some(plan.into_iter().map(|(index, holder)| (index, holder.unwrap_or_default())).collect())
    }

    fn given(expected: &[(usize, &str)]) -> Option<Vec<(usize, String)>> {
        Some(expected.iter().map(|(index, name)| (*index, (*name).to_owned())).collect())
    }

    #[test]
    fn the_least_recently_used_go_first_and_no_more_than_needed() {
        let entries = [entry(30, &[("a", 3)]), entry(30, &[("a", 1)]), entry(30, &[("a", 2)])];
        assert_eq!(give_up(&entries, "a", 10, 100), given(&[]));
        assert_eq!(give_up(&entries, "a", 30, 100), given(&[(1, "a")]));
        assert_eq!(give_up(&entries, "a", 100, 100), given(&[(1, "a"), (2, "a"), (0, "a")]));
        assert_eq!(give_up(&entries, "a", 101, 100), None);
        assert_eq!(give_up(&entries, "a", u64::MAX, 100), None);
    }

    #[test]
    fn whoever_fills_the_cache_evicts_his_own_code_only() {
        let entries =
            [entry(40, &[("b", 1)]), entry(20, &[("a", 2)]), entry(20, &[("a", 3)]), entry(20, &[("a", 4)])];
        assert_eq!(give_up(&entries, "a", 20, 100), given(&[(1, "a")]));
        assert_eq!(give_up(&entries, "a", 60, 100), given(&[(1, "a"), (2, "a"), (3, "a")]));
        assert_eq!(give_up(&entries, "a", 61, 100), None, "it would take from b's share");
    }

    #[test]
    fn whoever_is_within_his_share_takes_from_those_above_theirs() {
        let entries = [entry(50, &[("a", 9)]), entry(40, &[("a", 8)]), entry(10, &[("b", 1)])];
        assert_eq!(give_up(&entries, "b", 40, 100), given(&[(1, "a")]));
        assert_eq!(give_up(&entries, "b", 10, 100), given(&[(1, "a")]));
        // A newcomer.
        assert_eq!(give_up(&entries, "c", 33, 100), given(&[(1, "a")]));
        // Code that nobody has used yet is protected alike.
        let entries = [entry(50, &[("", 1)]), entry(50, &[("a", 9)])];
        assert_eq!(give_up(&entries, "a", 10, 100), given(&[(1, "a")]));
        assert_eq!(give_up(&entries, "", 10, 100), given(&[(0, "")]));
    }

    #[test]
    fn code_of_two_namespaces_stays_until_both_give_it_up() {
        let entries = [entry(60, &[("a", 1), ("b", 2)]), entry(40, &[("a", 3)])];
        // a gives up its hold first, which frees nothing.
        assert_eq!(give_up(&entries, "a", 40, 100), given(&[(0, "a"), (1, "a")]));
        assert_eq!(give_up(&entries, "b", 40, 100), given(&[(0, "b"), (0, "a")]));
    }

    #[test]
    fn the_rule_holds_whatever_is_in_the_cache() {
        // Pseudo-random, the same in each run.
        let mut state = 1_u64;
        let mut below = |limit: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % limit
        };
        for _ in 0..2_000 {
            let names = ["a", "b", "c", ""];
            let entries: Vec<_> = (0..below(12))
                .map(|_| {
                    let mut holders = vec![(names[below(4) as usize], below(100))];
                    if below(3) == 0 {
                        let other = names[below(4) as usize];
                        holders.retain(|(name, _)| *name != other);
                        holders.push((other, below(100)));
                    }
                    entry(below(30) + 1, &holders)
                })
                .collect();
            let (writer, need) = (holder(names[below(4) as usize]), below(40));
            let everybody: BTreeSet<_> = entries
                .iter()
                .flat_map(|e| e.holders.iter().map(|(h, _)| h.clone()))
                .chain([writer.clone()])
                .collect();
            let share = share(100, everybody.len());
            let held = |entries: &[Entry], holder: &Holder| -> u64 {
                entries.iter().filter(|e| e.holders.iter().any(|(h, _)| h == holder)).map(|e| e.size).sum()
            };
            let Some(plan) = plan(entries.clone(), &writer, need, 100) else {
                assert!(held(&entries, &writer) + need > share || need > 100, "refused within the share");
                continue;
            };
            let mut after = entries.clone();
            for (index, who) in plan {
                if who != writer {
                    assert!(held(&after, &who) > share, "taken from a share");
                }
                after[index].holders.retain(|(h, _)| *h != who);
            }
            let total: u64 = after.iter().filter(|e| !e.holders.is_empty()).map(|e| e.size).sum();
            assert!(total + need <= 100);
        }
    }
}
