//! Gives the snapshotter access to an instance's state.

use ssr_wasm::abi::state::GuestState;
use wasmtime::{Extern, Instance, Store, Val};
use wasmtime_wizer::{InstanceState, SnapshotVal};

/// An initialised instance.
pub struct InstanceMemory<'a> {
    /// The store that holds it.
    pub store: &'a mut Store<GuestState>,
    /// The instance.
    pub instance: Instance,
}

impl InstanceState for InstanceMemory<'_> {
    async fn global_get(&mut self, name: &str, _type_hint: wasmparser::ValType) -> SnapshotVal {
        let global = self.instance.get_global(&mut *self.store, name);
        match global.map(|global| global.get(&mut *self.store)) {
            Some(Val::I32(value)) => SnapshotVal::I32(value),
            Some(Val::I64(value)) => SnapshotVal::I64(value),
            Some(Val::F32(value)) => SnapshotVal::F32(value),
            Some(Val::F64(value)) => SnapshotVal::F64(value),
            Some(Val::V128(value)) => SnapshotVal::V128(value.as_u128()),
            // The trait's contract: the instrumented module exports this global, of one of these types.
            other => panic!("the global '{name}' of the instrumented engine is {other:?}"),
        }
    }

    async fn memory_contents(&mut self, name: &str, contents: impl FnOnce(&[u8]) + Send) {
        match self.instance.get_export(&mut *self.store, name) {
            Some(Extern::Memory(memory)) => contents(memory.data(&*self.store)),
            // The trait's contract, as above.
            other => panic!("the memory '{name}' of the instrumented engine is {other:?}"),
        }
    }
}
