//! QR codes on a terminal.

use qrcode::{EcLevel, QrCode, render::unicode};

use crate::error::{Context, Result};

/// The code as lines of half blocks, dark on light whatever the terminal's
/// colours: scanners need the light border.
pub fn terminal(text: &str) -> Result<String> {
    let code =
        QrCode::with_error_correction_level(text, EcLevel::L).or_internal("draw the QR code")?;
    Ok(code
        .render::<unicode::Dense1x2>()
        .dark_color(unicode::Dense1x2::Light)
        .light_color(unicode::Dense1x2::Dark)
        .build())
}
