//! The dense encoding: six bits for every register, from the lowest bit of the first byte upwards.

use super::REGISTER_COUNT;

const BITS: usize = 6;
const MASK: u8 = (1 << BITS) - 1;
/// The length of the registers in bytes.
pub(super) const BYTES: usize = REGISTER_COUNT * BITS / 8;

/// The value of a register.
pub(super) fn get(registers: &[u8], register: usize) -> u8 {
    let (at, shift) = position(register);
    (pair(registers, at) >> shift) as u8 & MASK
}

/// Sets a register to `value`, below 64.
pub(super) fn put(registers: &mut [u8], register: usize, value: u8) {
    let (at, shift) = position(register);
    let cleared = pair(registers, at) & !(u16::from(MASK) << shift);
    let [low, high] = (cleared | (u16::from(value & MASK) << shift)).to_le_bytes();
    registers[at] = low;
    // The last registers end with the last byte.
    if let Some(next) = registers.get_mut(at + 1) {
        *next = high;
    }
}

/// All values in order.
pub(super) fn values(registers: &[u8]) -> impl Iterator<Item = u8> {
    // Three bytes hold four registers.
    let (groups, _) = registers.as_chunks::<3>();
    groups.iter().flat_map(|&[a, b, c]| {
        let word = u32::from_le_bytes([a, b, c, 0]);
        [0, 6, 12, 18].map(|shift| (word >> shift) as u8 & MASK)
    })
}

fn position(register: usize) -> (usize, usize) {
    (register * BITS / 8, register * BITS % 8)
}

fn pair(registers: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([registers[at], registers.get(at + 1).copied().unwrap_or(0)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registers_do_not_touch_each_other() {
        let mut registers = vec![0; BYTES];
        for register in 0..REGISTER_COUNT {
            put(&mut registers, register, (register % 61) as u8);
        }
        for register in (0..REGISTER_COUNT).step_by(3) {
            put(&mut registers, register, 63);
        }
        let expected = |register| if register % 3 == 0 { 63 } else { (register % 61) as u8 };
        assert!((0..REGISTER_COUNT).all(|register| get(&registers, register) == expected(register)));
        assert!(values(&registers).eq((0..REGISTER_COUNT).map(expected)));
    }
}
