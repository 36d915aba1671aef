//! Sites of an engine that nobody carries.

/// Changes a site's code, and nothing that it does: the shim does not know its engine any more,
/// and has to compile it.
pub fn of_another_engine(module: &[u8]) -> Vec<u8> {
    // The header; then the section of types, which comes first in what `ssr build` makes: its
    // number, its length in bytes, and the number of types, as LEB128.
    let (header, rest) = module.split_at(8);
    let (&id, rest) = rest.split_first().expect("a section");
    assert_eq!(id, 1, "the first section has the types");
    let (length, rest) = number(rest);
    let (types, rest) = rest.split_at(length);
    let (count, types) = number(types);
    // One more type, which nobody uses: a function without parameters and results.
    let types = [&leb128(count + 1)[..], types, &[0x60, 0, 0]].concat();
    [header, &[id], &leb128(types.len()), &types, rest].concat()
}

fn number(bytes: &[u8]) -> (usize, &[u8]) {
    let end = bytes.iter().position(|byte| *byte < 0x80).expect("the number's last byte");
    let (number, rest) = bytes.split_at(end + 1);
    (number.iter().rev().fold(0, |value, byte| value << 7 | usize::from(byte & 0x7f)), rest)
}

fn leb128(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push((number & 0x7f | 0x80) as u8);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}
