use serde_json::json;

use super::*;
use crate::identify::{Settings, identify};
use crate::network::{Activation, Class, Network};
use crate::oracle::{BackendRecord, NetworkOracle, Silent};

fn identified(settings: &Settings) -> (Report, Network) {
    let truth = Network::random(&[6, 5, 2], 1, Class::Paper, Activation::Tanh, 1).unwrap();
    let mut oracle = NetworkOracle::new(truth);
    let solution = identify(&mut oracle, settings, &mut Silent).unwrap();
    let report =
        Report::new(&solution, settings, BackendRecord::cpu(), vec!["identify".to_owned()]);
    (report, solution.network.unwrap())
}

#[test]
fn a_run_has_all_its_figures() {
    let (report, network) = identified(&Settings::default());
    let page = page(&report, Some(&network));
    for figure in [
        "Gradients along held units",
        "Queries by stage",
        "Seconds by stage",
        "Bound on the parameter error by tensor",
        "Residuals at fresh points",
        "0.weight",
        "4.bias",
    ] {
        assert!(page.contains(&format!("aria-label=\"{figure}")), "{figure}");
    }
    for shown in ["gap after 2", "0.weight (A)", "identified", "first layer", "4,000 fresh points"]
    {
        assert!(page.contains(shown), "{shown}");
    }
    assert!(!page.contains("<script") && !page.contains("http://") && !page.contains("https://"));
}

#[test]
fn the_bound_of_a_report_is_the_largest_of_its_tensors() {
    for fit in crate::identify::FitBy::ALL {
        let (report, _) = identified(&Settings { fit, ..Settings::default() });
        let certified = report.evidence["certify"].as_array().unwrap().last().unwrap();
        let of = |row: &serde_json::Value| row["bound"].as_f64().unwrap();
        let tensors = certified["error_bound_by_tensor"].as_array().unwrap();
        let largest = tensors.iter().map(of).fold(0.0, f64::max);
        assert_eq!(Some(largest), report.parameter_error_bound, "{fit:?}");
        let names: Vec<&str> = tensors.iter().map(|row| row["tensor"].as_str().unwrap()).collect();
        assert_eq!(names, ["A", "theta", "B", "tau", "c", "c0"], "{fit:?}");
        let distances = certified["by_distance"].as_array().unwrap();
        let largest = distances.iter().map(|row| row["largest"].as_f64().unwrap());
        assert_eq!(largest.fold(0.0, f64::max), report.residual.unwrap());
    }
}

#[test]
fn singular_values_of_the_stack_are_shown_with_the_scores() {
    let settings =
        Settings { first_layer: crate::identify::FirstLayer::Stack, ..Settings::default() };
    let (report, _) = identified(&settings);
    let page = page(&report, None);
    assert!(page.contains("aria-label=\"Hessians of f") && page.contains("gap after 5"), "{page}");
    assert!(page.contains("aria-label=\"Candidates for units"));
    assert!(page.contains("No network is at hand"));
}

#[test]
fn text_of_others_stays_text() {
    let (mut report, _) = identified(&Settings::default());
    let bad = "</pre><script>alert('1')</script>&\u{1}";
    report.reason = bad.to_owned();
    report.remedy = Some(bad.to_owned());
    report.arguments = vec![bad.to_owned()];
    report.version = bad.to_owned();
    report.queries.by_stage.insert(bad.to_owned(), 3);
    report.settings.insert(bad.to_owned(), json!(bad));
    report.backend.adapter = Some(bad.to_owned());
    report.evidence[bad] = json!([bad]);
    report.evidence["lines"] = json!([{ bad: bad }]);
    report.evidence["units"] = json!([{"dropped": [{"score": 0.5, "reason": bad}], "scores": []}]);
    report.evidence["certify"] =
        json!([{"error_bound_by_tensor": [{"tensor": bad, "bound": 1.0}]}]);
    let page = page(&report, None);
    assert!(!page.contains("<script") && !page.contains('\u{1}') && !page.contains("&\u{fffd}"));
    assert!(
        page.matches("&lt;script&gt;").count() >= 9,
        "{}",
        page.matches("&lt;script&gt;").count()
    );
}

#[test]
fn evidence_of_any_form_makes_a_page() {
    let (report, _) = identified(&Settings::default());
    let values =
        [json!(null), json!([]), json!({}), json!([null]), json!([{}]), json!("text"), json!([1])];
    for key in report.evidence.as_object().unwrap().keys().chain([&"units".into(), &"stack".into()])
    {
        for value in &values {
            let mut report = report.clone();
            report.evidence[key] = value.clone();
            assert!(page(&report, None).ends_with("</html>\n"), "{key} {value}");
        }
    }
    for evidence in values {
        let old = Report { evidence, settings: Default::default(), ..report.clone() };
        assert!(page(&old, None).contains("This report has no singular values"));
    }
}
