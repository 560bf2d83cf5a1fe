//! Writing postcard at the end of a frame that is there already.

use postcard::ser_flavors::Flavor;

/// Appends to a frame in place, so that a failure leaves the caller its frame. (The `to_extend`
/// of postcard takes the frame and keeps it when it fails.)
pub(super) struct Tail<'a>(pub(super) &'a mut Vec<u8>);

impl Flavor for Tail<'_> {
    type Output = ();

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.0.push(byte);
        Ok(())
    }

    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}
