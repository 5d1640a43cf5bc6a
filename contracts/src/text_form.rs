//! Values that are written as they are shown, and read by parsing that.

/// `Debug`, `Serialize` and `Deserialize` of types by their `Display` and `FromStr`.
macro_rules! text_form {
    ($($name:ident)*) => {$(
        impl ::std::fmt::Debug for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                ::std::fmt::Display::fmt(self, f)
            }
        }

        impl ::serde::Serialize for $name {
            fn serialize<S: ::serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> ::serde::Deserialize<'de> for $name {
            fn deserialize<D: ::serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let unverified = <String as ::serde::Deserialize>::deserialize(deserializer)?;
                unverified.parse().map_err(::serde::de::Error::custom)
            }
        }
    )*};
}

pub(crate) use text_form;
