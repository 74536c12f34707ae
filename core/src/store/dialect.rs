//! Differences between the SQL of the two engines: rows as one argument, and a few expressions.
//!
//! Invariant: every other statement is one text that both engines understand. Texts are made of fixed
//! fragments of this layer; values from clients are bound.

/// SQL dialect of an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// SQLite 3.51 or later.
    Sqlite,
    /// PostgreSQL 15 or later.
    Postgres,
}

/// Type of a column of a [`BulkStatement`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ColumnKind {
    /// A whole number, or null.
    Int,
    /// A text, or null; objects and arrays arrive as the text of their JSON.
    Text,
    /// An object from which values are read, or null.
    Json,
}

/// A statement over the rows of one JSON array, its only argument.
#[derive(Debug)]
pub(super) struct BulkStatement {
    /// SQL text. `{rows}` becomes the rows, a table called `r`. `{same t.a = r.b}` becomes that condition, in
    /// a form that looks up few rows of `t`. `{listed t.a = r.b}` becomes a condition that holds for each row of `t`
    /// with such a row, and that lets an index be used where `r` is not joined. `{erased t.a}` becomes the snapshot of a message's event in `t.a`,
    /// without the content of the message.
    pub(super) text: &'static str,
    /// The columns that the text reads from `r`: keys of each object of the array.
    pub(super) columns: &'static [(&'static str, ColumnKind)],
}

impl Dialect {
    /// Returns the text of a statement over many rows.
    ///
    /// SQLite reads `jsonb_each` (3.51): `json_each` would write each object out as text again for
    /// every column that is taken from it, at twice the cost per row. PostgreSQL reads `json`, which
    /// keeps the text of nested values as it is.
    pub(super) fn bulk_text(self, bulk: &BulkStatement) -> String {
        self.with_rows(bulk, &self.array_rows(bulk, 1), 1)
    }

    /// Returns a text that runs all of these statements, each over the rows of an argument of its own, in this
    /// order. The first is a fence: it returns the numbers of the accounts with rows that may be written, and so
    /// does the whole.
    ///
    /// PostgreSQL runs one statement. Of the others it writes only rows of these accounts; none sees the writes of
    /// the others, and no row may be written twice. SQLite runs one after another, and writes all rows: the caller
    /// rolls back if an account does not pass.
    pub(super) fn fenced_text(self, fence: &BulkStatement, others: &[&BulkStatement]) -> String {
        let first = self.bulk_text(fence);
        let others = (2..).zip(others);
        match self {
            Self::Sqlite => others.fold(first, |sql, (argument, bulk)| {
                let rows = self.array_rows(bulk, argument);
                format!("{sql}; {}", self.with_rows(bulk, &rows, argument))
            }),
            Self::Postgres => {
                let mut sql = format!("WITH passed AS ({first})");
                for (argument, bulk) in others {
                    let rows = self.array_rows(bulk, argument);
                    let passing = format!(
                        "(SELECT r.* FROM {rows} WHERE r.account IN (SELECT number FROM passed)) AS r"
                    );
                    sql = format!("{sql}, w{argument} AS ({})", self.with_rows(bulk, &passing, argument));
                }
                format!("{sql} SELECT number FROM passed")
            }
        }
    }

    /// Returns the text with these rows, which are those of the JSON array in this argument.
    fn with_rows(self, bulk: &BulkStatement, rows: &str, argument: usize) -> String {
        let mut text = String::new();
        let mut rest = bulk.text;
        while let Some((before, from)) = rest.split_once("{same ")
            && let Some((condition, after)) = from.split_once('}')
        {
            text = text + before + &self.same_row(bulk, condition, argument);
            rest = after;
        }
        let whole = text + rest;
        let (mut text, mut rest) = (String::new(), whole.as_str());
        while let Some((before, from)) = rest.split_once("{listed ")
            && let Some((condition, after)) = from.split_once('}')
        {
            text = text + before + &self.listed_values(bulk, condition, argument).unwrap_or_default();
            rest = after;
        }
        let text = (text + rest).replace("{rows}", rows);
        if let Some((before, from)) = text.split_once("{erased ")
            && let Some((column, after)) = from.split_once('}')
        {
            return [before, &self.erased_snapshot(column), after].concat();
        }
        text
    }

    /// Returns the snapshot of a message's event in this column, without the content of the message.
    fn erased_snapshot(self, column: &str) -> String {
        match self {
            Self::Sqlite => format!(
                "json_remove(json_replace({column}, '$.content', '', '$.payload', '{{}}', \
                 '$.previous_content', ''), '$.details.referral')"
            ),
            Self::Postgres => format!(
                "(jsonb_set({column}::jsonb || '{{\"content\": \"\", \"payload\": \"{{}}\"}}'::jsonb, \
                 '{{previous_content}}', '\"\"', false) #- '{{details,referral}}')::text"
            ),
        }
    }

    /// Returns a condition by which rows are looked up.
    ///
    /// PostgreSQL cannot know how many rows the array holds, and so would scan a whole table rather than look
    /// rows up one by one. It assumes that an array of values is short.
    fn same_row(self, bulk: &BulkStatement, condition: &str, argument: usize) -> String {
        match (self, self.listed_values(bulk, condition, argument)) {
            (Self::Postgres, Some(listed)) => format!("{condition} AND {listed}"),
            (Self::Sqlite, _) | (Self::Postgres, None) => condition.to_owned(),
        }
    }

    /// Returns the condition that a column has one of the array's values; SQLite needs none.
    fn listed_values(self, bulk: &BulkStatement, condition: &str, argument: usize) -> Option<String> {
        let (column, name) = condition.split_once(" = r.")?;
        let number = bulk.columns.contains(&(name, ColumnKind::Int));
        let kind = if number { "bigint" } else { "text" };
        Some(match self {
            Self::Sqlite => "true".to_owned(),
            Self::Postgres => format!(
                "{column} = ANY (ARRAY(SELECT wanted.{name} \
                 FROM json_to_recordset(${argument}::json) AS wanted({name} {kind})))"
            ),
        })
    }

    /// Returns the rows of the JSON array in this argument, as a table called `r`.
    fn array_rows(self, bulk: &BulkStatement, argument: usize) -> String {
        let columns = bulk.columns.iter().map(|(name, kind)| match (self, kind) {
            (Self::Sqlite, ColumnKind::Int | ColumnKind::Text) => format!("value->>'{name}' AS {name}"),
            (Self::Sqlite, ColumnKind::Json) => format!("value->'{name}' AS {name}"),
            (Self::Postgres, ColumnKind::Int) => format!("{name} bigint"),
            (Self::Postgres, ColumnKind::Text) => format!("{name} text"),
            (Self::Postgres, ColumnKind::Json) => format!("{name} json"),
        });
        let columns = columns.collect::<Vec<_>>().join(", ");
        match self {
            Self::Sqlite => format!("(SELECT {columns} FROM jsonb_each(${argument})) AS r"),
            Self::Postgres => format!("json_to_recordset(${argument}::json) AS r({columns})"),
        }
    }

    /// Returns the condition that a text is one of the JSON array of texts in this argument.
    pub(super) fn in_texts(self, argument: usize) -> String {
        match self {
            Self::Sqlite => format!("IN (SELECT value FROM json_each(${argument}))"),
            // An array, because a sub-query would be joined, and the planner cannot know how short it is.
            Self::Postgres => format!("= ANY (ARRAY(SELECT json_array_elements_text(${argument}::json)))"),
        }
    }

    /// Returns the condition that a number is one of the JSON array of numbers in this argument.
    pub(super) fn in_numbers(self, argument: usize) -> String {
        match self {
            Self::Sqlite => format!("IN (SELECT value FROM json_each(${argument}))"),
            Self::Postgres => {
                format!("= ANY (ARRAY(SELECT json_array_elements_text(${argument}::json)::bigint))")
            }
        }
    }

    /// Returns the condition that a column's text contains the text in this argument.
    pub(super) fn text_contains(self, column: &str, argument: usize) -> String {
        match self {
            Self::Sqlite => format!("instr({column}, ${argument}) > 0"),
            Self::Postgres => format!("strpos({column}, ${argument}) > 0"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_in_as_one_argument() {
        let bulk = BulkStatement {
            text: "INSERT INTO t (a, b) SELECT r.a, r.b->>'id' FROM {rows} WHERE true",
            columns: &[("a", ColumnKind::Int), ("b", ColumnKind::Json)],
        };
        assert_eq!(
            Dialect::Sqlite.bulk_text(&bulk),
            "INSERT INTO t (a, b) SELECT r.a, r.b->>'id' FROM \
             (SELECT value->>'a' AS a, value->'b' AS b FROM jsonb_each($1)) AS r WHERE true"
        );
        assert_eq!(
            Dialect::Postgres.bulk_text(&bulk),
            "INSERT INTO t (a, b) SELECT r.a, r.b->>'id' FROM \
             json_to_recordset($1::json) AS r(a bigint, b json) WHERE true"
        );
    }

    #[test]
    fn rows_are_looked_up_and_not_compared_with_a_whole_table() {
        let bulk = BulkStatement {
            text: "UPDATE t SET b = r.b FROM {rows} WHERE {same t.a = r.a} AND t.c = r.c",
            columns: &[("a", ColumnKind::Int), ("b", ColumnKind::Text), ("c", ColumnKind::Int)],
        };
        assert!(Dialect::Sqlite.bulk_text(&bulk).ends_with(" AS r WHERE t.a = r.a AND t.c = r.c"));
        assert!(Dialect::Postgres.bulk_text(&bulk).ends_with(
            " WHERE t.a = r.a AND t.a = ANY (ARRAY(SELECT wanted.a \
             FROM json_to_recordset($1::json) AS wanted(a bigint))) AND t.c = r.c"
        ));
    }

    #[test]
    fn statements_that_hang_on_a_fence_become_one_text() {
        let fence = BulkStatement {
            text: "UPDATE f FROM {rows} RETURNING number",
            columns: &[("n", ColumnKind::Int)],
        };
        let bulk = BulkStatement {
            text: "INSERT INTO t (a) SELECT r.account FROM {rows} WHERE true",
            columns: &[("account", ColumnKind::Int)],
        };
        assert_eq!(
            Dialect::Sqlite.fenced_text(&fence, &[&bulk]),
            "UPDATE f FROM (SELECT value->>'n' AS n FROM jsonb_each($1)) AS r RETURNING number; \
             INSERT INTO t (a) SELECT r.account FROM \
             (SELECT value->>'account' AS account FROM jsonb_each($2)) AS r WHERE true"
        );
        assert_eq!(
            Dialect::Postgres.fenced_text(&fence, &[&bulk]),
            "WITH passed AS (UPDATE f FROM json_to_recordset($1::json) AS r(n bigint) RETURNING number), \
             w2 AS (INSERT INTO t (a) SELECT r.account FROM \
             (SELECT r.* FROM json_to_recordset($2::json) AS r(account bigint) \
             WHERE r.account IN (SELECT number FROM passed)) AS r WHERE true) SELECT number FROM passed"
        );
    }
}
