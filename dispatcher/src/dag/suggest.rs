//! "Did you mean": the nearest of the names that would have been right.

use super::findings::shown;

/// Names longer than this are not compared.
const MAX_COMPARED: usize = 64;

/// ` (did you mean …?)` for the nearest candidate, or nothing when none is near.
pub fn did_you_mean<'a>(unverified: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    nearest(unverified, candidates).map_or_else(String::new, |name| format!(" (did you mean `{name}`?)"))
}

/// Up to twenty of the names, for messages that list what there is.
pub fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let mut names: Vec<&str> = names.into_iter().collect();
    let all = names.len();
    names.truncate(20);
    let mut text = names.iter().map(|name| format!("`{}`", shown(name))).collect::<Vec<_>>().join(", ");
    if all > names.len() {
        text.push_str(", …");
    }
    text
}

fn nearest<'a>(unverified: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let length = unverified.chars().count();
    if unverified.len() > MAX_COMPARED || length < 2 {
        return None;
    }
    let within = (length / 3).max(1);
    let lower = unverified.to_lowercase();
    candidates
        .into_iter()
        .filter(|candidate| {
            candidate.len() <= MAX_COMPARED && candidate.len().abs_diff(lower.len()) <= 4 * within
        })
        .map(|candidate| (distance(&lower, candidate), candidate))
        .filter(|(distance, _)| *distance <= within)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Edits from one text to the other: insertions, deletions, replacements and swaps of neighbours.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replaced.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_suggested_and_far_ones_are_not() {
        let fields = ["timeout", "retries", "resources", "files"];
        for (typo, right) in [("timout", "timeout"), ("retrise", "retries"), ("Files", "files")] {
            assert_eq!(nearest(typo, fields), Some(right), "{typo}");
        }
        assert_eq!(nearest("schedule", fields), None);
        assert_eq!(nearest(&"t".repeat(1000), fields), None);
    }
}
