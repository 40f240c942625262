//! Units of length.

/// The unit in which a command gives and takes distances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// `m`.
    Meters,
    /// `km`.
    Kilometers,
    /// `ft`: the international foot.
    Feet,
    /// `mi`: the international mile, rounded to 1609.34 m.
    Miles,
}

impl Unit {
    /// The unit of this abbreviation, in any case.
    ///
    /// ```
    /// # use kvdb_geo::Unit;
    /// assert_eq!(Unit::parse(b"KM"), Some(Unit::Kilometers));
    /// assert_eq!(Unit::parse(b"parsec"), None);
    /// ```
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let units = [("m", Self::Meters), ("km", Self::Kilometers), ("ft", Self::Feet), ("mi", Self::Miles)];
        units.into_iter().find(|(name, _)| text.eq_ignore_ascii_case(name.as_bytes())).map(|(_, unit)| unit)
    }

    /// How many meters one of these is.
    #[must_use]
    pub fn meters(self) -> f64 {
        match self {
            Self::Meters => 1.0,
            Self::Kilometers => 1000.0,
            Self::Feet => 0.3048,
            Self::Miles => 1609.34,
        }
    }

    /// A number of meters in this unit.
    #[must_use]
    pub fn of_meters(self, meters: f64) -> f64 {
        meters / self.meters()
    }
}
