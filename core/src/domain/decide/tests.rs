//! Rules, by example and by law.
