use disentangle::{identify::*, network::*, oracle::*};
use nalgebra::*;
struct P;
impl Observer for P {
    fn stage(&mut self, p: Progress<'_>) {
        eprintln!("[{}] {} q", p.stage, p.total_queries)
    }
    fn queries(&mut self, _: Progress<'_>) {}
    fn note(&mut self, t: &str) {
        eprintln!("note {t}")
    }
}
fn load(p: &str) -> Network {
    let b = std::fs::read(p).unwrap();
    let st = safetensors::SafeTensors::deserialize(&b).unwrap();
    let (_, m) = safetensors::SafeTensors::read_metadata(&b).unwrap();
    let act: Activation = m.metadata().as_ref().unwrap()["activation"].parse().unwrap();
    let t = |n: &str| {
        let v = st.tensor(n).unwrap();
        let d: Vec<f64> =
            v.data().chunks(8).map(|c| f64::from_le_bytes(c.try_into().unwrap())).collect();
        (v.shape().to_vec(), d)
    };
    let (s, w) = t("0.weight");
    let a = DMatrix::from_row_slice(s[0], s[1], &w).transpose();
    let (s, w) = t("2.weight");
    let b2 = DMatrix::from_row_slice(s[0], s[1], &w).transpose();
    Network {
        a,
        b: b2,
        theta: -DVector::from_vec(t("0.bias").1),
        tau: -DVector::from_vec(t("2.bias").1),
        c: DVector::from_vec(t("4.weight").1),
        c0: t("4.bias").1[0],
        g: act,
        h: act,
    }
}
fn random(d: usize, m0: usize, m1: usize, general: bool, act: Activation, seed: u64) -> Network {
    Network::random((d, m0, m1), if general { Class::General } else { Class::Paper }, act, seed)
        .unwrap()
}
fn main() {
    let args: Vec<String> = std::env::args().collect();
    let verbose = std::env::var("V").is_ok();
    let mut runs = vec![];
    if args[1] == "file" {
        for p in &args[2..] {
            runs.push((p.clone(), load(p)));
        }
    } else {
        let v: Vec<usize> = args[2].split(',').map(|x| x.parse().unwrap()).collect();
        let act: Activation = args[3].parse().unwrap();
        let s: Vec<u64> = args[4].split("..").map(|x| x.parse().unwrap()).collect();
        for seed in s[0]..s[1] {
            runs.push((
                format!("{seed}"),
                random(v[0], v[1], v[2], args[1] == "general", act, seed),
            ));
        }
    }
    for (name, mut n) in runs {
        if let Ok(x) = std::env::var("ASCALE") {
            n.a *= x.parse::<f64>().unwrap();
        }

        let act = n.g;
        let t = std::time::Instant::now();
        let mut o = NetworkOracle::new(n.clone());
        let set = Settings {
            seed: 1,
            activation: if std::env::var("AUTO").is_ok() { None } else { Some(act) },
            ascent: if std::env::var("POWER").is_ok() {
                disentangle::rank_one::Ascent::Power
            } else {
                disentangle::rank_one::Ascent::Spectral
            },
            ..Default::default()
        };
        let mut p = P;
        let mut q = Silent;
        let obs: &mut dyn Observer = if verbose { &mut p } else { &mut q };
        match identify(&mut o, &set, obs) {
            Ok(s) => {
                let m = s
                    .network
                    .as_ref()
                    .map(|r| n.matching(r))
                    .and_then(|m| m.parameter_error)
                    .unwrap_or(9.0);
                println!(
                    "{name} err={m:.1e} {:?} {} w={:?} bound={:?} res={:?} q={} t={:.2}",
                    s.status,
                    s.reason,
                    s.widths,
                    s.parameter_error_bound,
                    s.residual,
                    s.queries,
                    t.elapsed().as_secs_f64()
                );
                if verbose {
                    for st in &s.stages {
                        println!("   {} {} {:.3}", st.name, st.queries, st.seconds)
                    }
                    println!("{}", serde_json::to_string(&s.evidence.as_json()).unwrap());
                }
            }
            Err(e) => println!("{name} ERR {e}"),
        }
    }
}
