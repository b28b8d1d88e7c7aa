//! Numbers and moments as columns.

use rusqlite::{
    ToSql,
    types::{FromSql, FromSqlError, FromSqlResult, ToSqlOutput, ValueRef},
};

use crate::{BrandId, NotificationId, UserId, time::Timestamp};

macro_rules! number {
    ($type:ty, $to:ident, $of:expr) => {
        impl ToSql for $type {
            fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                Ok(self.$to().into())
            }
        }

        impl FromSql for $type {
            fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
                let number = value.as_i64()?;
                $of(number).ok_or(FromSqlError::OutOfRange(number))
            }
        }
    };
}

number!(BrandId, get, BrandId::new);
number!(UserId, get, UserId::new);
number!(NotificationId, get, NotificationId::new);
number!(Timestamp, ms, |ms| Some(Timestamp::from_ms(ms)));
