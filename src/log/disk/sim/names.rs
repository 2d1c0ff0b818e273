//! The tree of names: what the process sees, and the changes that no directory sync has covered.
//!
//! A change is durable once every directory that it touches was synced. At a power cut each other
//! change happens or not; one that no longer makes sense does not, and of several changes of one
//! name a later one never happens without the earlier. That is harsher than a journaling file
//! system, which keeps a prefix of all changes.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::tear::{Coin, Unsynced};

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Node {
    File(u64),
    Directory,
}

type Tree = BTreeMap<PathBuf, Node>;

#[derive(Clone, Debug)]
enum Change {
    Create(PathBuf, Node),
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
}

impl Change {
    fn names(&self) -> Vec<&PathBuf> {
        match self {
            Self::Create(path, _) | Self::Remove(path) => vec![path],
            Self::Rename(from, to) => vec![from, to],
        }
    }
}

#[derive(Clone, Debug)]
struct Pending {
    change: Change,
    unsynced: BTreeSet<PathBuf>,
}

/// The names of a disk.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    visible: Tree,
    durable: Tree,
    pending: Vec<Pending>,
}

impl Names {
    pub(super) fn file(&self, path: &Path) -> io::Result<u64> {
        match self.visible.get(path) {
            Some(Node::File(id)) => Ok(*id),
            Some(Node::Directory) => Err(ErrorKind::IsADirectory.into()),
            None => Err(ErrorKind::NotFound.into()),
        }
    }

    /// Every file that has a name, as the process sees it.
    pub(super) fn files(&self) -> impl Iterator<Item = u64> {
        self.visible.values().filter_map(|node| match node {
            Node::File(id) => Some(*id),
            Node::Directory => None,
        })
    }

    pub(super) fn list(&self, directory: &Path) -> io::Result<Vec<String>> {
        if !self.is_directory(directory) {
            return Err(ErrorKind::NotFound.into());
        }
        Ok(self
            .visible
            .keys()
            .filter(|path| path.parent() == Some(directory))
            .filter_map(|path| path.file_name()?.to_str().map(str::to_owned))
            .collect())
    }

    pub(super) fn create(&mut self, path: &Path, node: Node) -> io::Result<()> {
        if self.visible.contains_key(path) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        if !path.parent().is_some_and(|parent| self.is_directory(parent)) {
            return Err(ErrorKind::NotFound.into());
        }
        self.change(Change::Create(path.to_owned(), node))
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        self.change(Change::Rename(from.to_owned(), to.to_owned()))
    }

    pub(super) fn remove(&mut self, path: &Path) -> io::Result<()> {
        self.change(Change::Remove(path.to_owned()))
    }

    pub(super) fn sync(&mut self, directory: &Path) {
        for pending in &mut self.pending {
            pending.unsynced.remove(directory);
        }
        let durable = &mut self.durable;
        self.pending.retain(|pending| {
            let done = pending.unsynced.is_empty();
            if done {
                apply(durable, &pending.change);
            }
            !done
        });
    }

    /// Whether any name, seen or after a power cut, may stand for this file.
    pub(super) fn is_known(&self, id: u64) -> bool {
        let here = Node::File(id);
        self.visible.values().any(|node| *node == here)
            || self.durable.values().any(|node| *node == here)
            || self.pending.iter().any(|p| matches!(&p.change, Change::Create(_, n) if *n == here))
    }

    pub(super) fn after_power_cut(&self, coin: &mut Coin) -> Self {
        let mut tree = self.durable.clone();
        let mut undone: BTreeSet<&PathBuf> = BTreeSet::new();
        for pending in &self.pending {
            let names = pending.change.names();
            let follows_undone = names.iter().any(|name| undone.contains(name));
            if coin.survives(Unsynced::Name) && !follows_undone {
                apply(&mut tree, &pending.change);
            } else {
                undone.extend(names);
            }
        }
        let orphans: Vec<PathBuf> =
            tree.keys().filter(|path| !has_ancestors(&tree, path)).cloned().collect();
        for path in orphans {
            tree.remove(&path);
        }
        Self { visible: tree.clone(), durable: tree, pending: Vec::new() }
    }

    fn is_directory(&self, path: &Path) -> bool {
        is_root(path) || self.visible.get(path) == Some(&Node::Directory)
    }

    fn change(&mut self, change: Change) -> io::Result<()> {
        if !apply(&mut self.visible, &change) {
            return Err(ErrorKind::NotFound.into());
        }
        let directories = change.names().into_iter().filter_map(|name| name.parent());
        let unsynced = directories.map(Path::to_owned).collect();
        self.pending.push(Pending { change, unsynced });
        Ok(())
    }
}

/// Changes the tree; `false` if the change makes no sense there and nothing happened.
fn apply(tree: &mut Tree, change: &Change) -> bool {
    match change {
        Change::Create(path, node) => {
            tree.insert(path.clone(), *node);
            true
        }
        Change::Remove(path) => tree.remove(path).is_some(),
        Change::Rename(from, to) => {
            let moved: Vec<PathBuf> =
                tree.keys().filter(|path| path.starts_with(from)).cloned().collect();
            for path in &moved {
                if let (Some(node), Ok(below)) = (tree.remove(path), path.strip_prefix(from)) {
                    let target =
                        if below.as_os_str().is_empty() { to.clone() } else { to.join(below) };
                    tree.insert(target, node);
                }
            }
            !moved.is_empty()
        }
    }
}

fn has_ancestors(tree: &Tree, path: &Path) -> bool {
    path.ancestors().skip(1).all(|dir| is_root(dir) || tree.get(dir) == Some(&Node::Directory))
}

fn is_root(path: &Path) -> bool {
    path == Path::new("/") || path.as_os_str().is_empty()
}
