use proptest::prelude::*;
use serde_json::json;

use super::*;

fn number() -> impl Strategy<Value = f64> + Clone {
    any::<u64>().prop_map(f64::from_bits).prop_filter("finite", |value| value.is_finite())
}

fn status() -> impl Strategy<Value = Status> {
    prop::sample::select(&[Status::Identified, Status::Approximate, Status::NotIdentified][..])
}

fn by_stage<T: std::fmt::Debug>(
    value: impl Strategy<Value = T> + Clone,
) -> impl Strategy<Value = ByStage<T>> {
    let stages = prop::collection::vec(("[a-z ]{1,8}", value.clone()), 0..5);
    (value, stages)
        .prop_map(|(total, stages)| ByStage { total, by_stage: stages.into_iter().collect() })
}

prop_compose! {
    fn report()(
        arguments in prop::collection::vec(any::<String>(), 0..4),
        (seed, max_queries) in any::<(u64, u64)>(),
        status in status(),
        reason in any::<String>(),
        widths in prop::option::of(prop::collection::vec(any::<usize>(), 1..3)),
        activation in prop::option::of(prop::sample::select(&Activation::ALL[..])),
        adapter in prop::option::of(any::<String>()),
        queries in by_stage(any::<u64>()),
        seconds in by_stage(number()),
        numbers in prop::array::uniform3(prop::option::of(number())),
        parameter_error_bound in number(),
        seen in number(),
    ) -> Report {
        Report {
            schema: SCHEMA.to_owned(),
            version: "1.2.3".to_owned(),
            arguments,
            seed,
            status,
            reason,
            remedy: None,
            depth: 2,
            widths: widths.clone(),
            idle_inputs: widths.clone(),
            activation,
            activations: activation.map(|first| vec![first, Activation::Erf]),
            backend: BackendRecord { adapter, ..BackendRecord::cpu() },
            queries,
            seconds,
ranks: Some(RanksUsed {
                count: 2,
                received_bytes: ByStage { total: 7, by_stage: [("lines".to_owned(), 7)].into() },
            }),
            residual: numbers[0],
            parameter_error_bound: numbers[1],
            oracle_accuracy: numbers[2],
            tolerances: Tolerances { parameter_error_bound, max_queries, widths },
            settings: Settings::default().by_name(),
            evidence: json!({"stack": [{"gap": seen}]}),
        }
    }
}

proptest! {
    #[test]
    fn what_is_read_is_what_was_written(report in report()) {
        let json = serde_json::to_vec_pretty(&report).unwrap();
        let back: Report = serde_json::from_slice(&json).unwrap();
        // Maps compare equal in any order; the order of the stages is kept as well.
        prop_assert!(back.queries.by_stage.keys().eq(report.queries.by_stage.keys()));
        prop_assert_eq!(back, report);
    }
}

fn solution() -> Solution {
    Solution {
        status: Status::NotIdentified,
        reason: "peel: no gap".to_owned(),
        remedy: Some(crate::identify::Remedy::MoreAttempts),
        network: None,
        depth: 2,
        widths: Some(vec![7, 0]),
        residual: Some(f64::INFINITY),
        parameter_error_bound: None,
        oracle_accuracy: Some(1e-16),
        queries: 12,
        stages: Vec::new(),
        evidence: Default::default(),
    }
}

#[test]
fn a_run_without_a_network_has_nulls() {
    let report = Report::new(
        &solution(),
        &Settings::default(),
        BackendRecord::cpu(),
        vec!["identify".to_owned()],
    );
    let json = serde_json::to_value(&report).unwrap();
    for absent in
        ["widths", "residual", "parameter_error_bound", "activation", "activations", "idle_inputs"]
    {
        assert!(json[absent].is_null(), "{absent}: {}", json[absent]);
    }
    assert_eq!(json["status"], "not_identified");
    assert_eq!(json["queries"]["total"], 12);
    for (key, value) in [("requested", "cpu"), ("executed", "cpu"), ("precision", "f64")] {
        assert_eq!(json["backend"][key], value);
    }
    assert!(json["backend"]["adapter"].is_null());
}

#[test]
fn files_are_told_from_reports() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("report.json");
    let mut report =
        Report::new(&solution(), &Settings::default(), BackendRecord::cpu(), Vec::new());
    report.save(&path).unwrap();
    assert_eq!(Report::load(&path).unwrap(), report);
    report.schema = "disentangle-report-9".to_owned();
    report.save(&path).unwrap();
    assert!(matches!(Report::load(&path), Err(ReportError::Schema { .. })));
    std::fs::write(&path, "{}").unwrap();
    assert!(matches!(Report::load(&path), Err(ReportError::Format { .. })));
    assert!(matches!(Report::load(folder.path()), Err(ReportError::Read { .. })));
    let lost = folder.path().join("no/report.json");
    assert!(report.save(&lost).unwrap_err().to_string().contains("cannot write"));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}
