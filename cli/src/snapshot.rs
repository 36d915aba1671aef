//! An instance's state, as the snapshotter wants to read it.

use ssr_server::guest::GuestState;
use wasmtime::{Extern, Instance, Store, Val};
use wasmtime_wizer::{InstanceState, SnapshotVal};

/// An instance that has been initialised.
pub struct InstanceMemory<'a> {
    /// Its store.
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
            other => panic!("the memory '{name}' of the instrumented engine is {other:?}"),
        }
    }
}

/// `module` with a custom section at its end.
pub fn with_custom_section(mut module: Vec<u8>, name: &str, data: &[u8]) -> Vec<u8> {
    let mut payload = Vec::with_capacity(8 + name.len() + data.len());
    leb128(&mut payload, name.len());
    payload.extend_from_slice(name.as_bytes());
    payload.extend_from_slice(data);
    module.push(0);
    leb128(&mut module, payload.len());
    module.extend(payload);
    module
}

fn leb128(bytes: &mut Vec<u8>, mut value: usize) {
    loop {
        let low = (value & 0x7f) as u8;
        value >>= 7;
        if value == 0 {
            return bytes.push(low);
        }
        bytes.push(low | 0x80);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_custom_section_of_any_size_is_read_back() {
        for size in [0, 1, 127, 128, 70_000] {
            let data = vec![b'x'; size];
            let module = with_custom_section(b"\0asm\x01\0\0\0".to_vec(), "ssr:test", &data);
            let sections: Vec<_> = wasmparser::Parser::new(0)
                .parse_all(&module)
                .filter_map(|payload| match payload.unwrap() {
                    wasmparser::Payload::CustomSection(section) => {
                        Some((section.name(), section.data().len()))
                    }
                    _ => None,
                })
                .collect();
            assert_eq!(sections, [("ssr:test", size)]);
        }
    }
}
