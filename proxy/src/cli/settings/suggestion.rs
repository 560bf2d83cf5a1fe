//! "Did you mean": the known name nearest to an unknown one.

/// Least likeness (Jaro-Winkler) of a suggestion: less is another word.
const MIN_LIKENESS: f64 = 0.75;

/// Keys that are known for one purpose: to say why they are refused.
const REFUSED: [&str; 2] = ["secret", "token"];

/// Returns the nearest of the known names as a question, or all of them if none is near.
pub(super) fn did_you_mean<'n>(name: &str, known: impl IntoIterator<Item = &'n str>) -> String {
    let written = name.to_lowercase().replace('-', "_");
    let known: Vec<_> = known
        .into_iter()
        .filter(|known| !REFUSED.contains(known))
        .collect();
    let likeness = |known: &str| strsim::jaro_winkler(&written, known);
    let nearest = known
        .iter()
        .map(|known| (likeness(known), *known))
        .filter(|(likeness, _)| *likeness >= MIN_LIKENESS)
        .max_by(|(a, _), (b, _)| a.total_cmp(b));
    match nearest {
        Some((_, name)) => format!("did you mean '{name}'?"),
        None if known.is_empty() => "there is no key here".to_owned(),
        None => format!("known are: {}", known.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_suggested() {
        let known = ["max_sockets", "max_sockets_per_address", "listen", "secret"];
        for (name, nearest) in [
            ("max_socket", "max_sockets"),
            ("max-sockets", "max_sockets"),
            ("Listen", "listen"),
            ("lissten", "listen"),
        ] {
            let expected = format!("did you mean '{nearest}'?");
            assert_eq!(did_you_mean(name, known), expected);
        }
        let all = "known are: max_sockets, max_sockets_per_address, listen";
        assert_eq!(did_you_mean("xyz", known), all);
    }
}
