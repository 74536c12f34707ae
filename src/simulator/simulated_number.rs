//! A business number of the simulated WhatsApp.

use kabar_core::domain::account::PhoneNumberId;
use kabar_core::domain::phone::Phone;

/// A business number that WhatsApp knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SimulatedNumber {
    /// Meta's id of the number.
    pub phone_number_id: PhoneNumberId,
    /// The number itself.
    pub phone: Phone,
    /// Meta's id of the business account that has it.
    pub waba_id: String,
}
