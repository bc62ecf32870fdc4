//! Cutting an input into pieces, always the same for the same input.

/// Cuts `bytes` into pieces whose lengths follow from `seed`; mostly short ones, all bytes are in one piece.
pub fn pieces(bytes: &[u8], mut seed: u64) -> Vec<&[u8]> {
    let mut pieces = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let longest = if seed >> 62 == 0 { 64 } else { 4 };
        let (piece, after) = rest.split_at(rest.len().min(1 + (seed >> 33) as usize % longest));
        pieces.push(piece);
        rest = after;
    }
    pieces
}

/// A number that follows from `bytes`, to cut them by.
pub fn seed(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &b| (hash ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3))
}
