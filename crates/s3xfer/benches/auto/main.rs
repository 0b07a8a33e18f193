//! Default settings against the best fixed ones, on paper.
#[path = "../../src/rules/control.rs"]
#[allow(dead_code)]
mod control;
#[path = "../../src/rules/lateness.rs"]
#[allow(dead_code)]
mod lateness;
#[path = "../../src/rules/meter.rs"]
#[allow(dead_code)]
mod meter;
mod network;
#[path = "../../src/rules/pacing.rs"]
#[allow(dead_code)]
mod pacing;
mod peers;
mod play;
mod profiles;
#[path = "../../src/rules/split.rs"]
#[allow(dead_code)]
mod split;

use std::time::Duration;

use control::{Bounds, Controller};
use network::Time;
use play::{Part, Rule, play};
use split::OnItsWay;

struct Ours {
    c: Controller,
    bounds: Bounds,
}

fn d(t: Time) -> Duration {
    Duration::from_secs_f64(t)
}

impl Rule for Ours {
    fn first_bytes(&self) -> u64 {
        self.bounds.part_bytes.min(8 << 20)
    }
    fn target(&self) -> u32 {
        self.c.target()
    }
    fn part_bytes(&self, left: u64) -> u64 {
        self.c.part_bytes(left)
    }
    fn asked(&mut self, now: Time) {
        self.c.asked(d(now))
    }
    fn answered(&mut self, now: Time, waited: Time) {
        self.c.answered(d(now), d(waited))
    }
    fn ended(&mut self, now: Time, _: Part) {
        self.c.ended(d(now), true)
    }
    fn refused(&mut self, now: Time) {
        self.c.refused(d(now))
    }
    fn look(&mut self, now: Time, received: f64) {
        self.c.look(d(now), received as u64, 0)
    }
    fn due(&self, end: bool) -> Option<Time> {
        self.c.due(end).map(|x| x.as_secs_f64())
    }
    fn slot(&mut self, now: Time) -> Time {
        self.c.slot(d(now)).as_secs_f64().max(now)
    }
    fn pause(&self) -> Time {
        0.1
    }
    fn shed(&mut self) -> u32 {
        self.c.shed()
    }
    fn late_after(&self, end: bool) -> Option<Time> {
        Some(self.c.late_after(end).as_secs_f64())
    }
    fn split(&self, parts: &[(u64, u64, Time)]) -> Option<(usize, u64, u32)> {
        self.c
            .split(parts.iter().map(|(b, l, f)| OnItsWay { brought: *b, left: *l, flowed: d(*f) }))
            .map(|s| (s.index, s.bytes, s.requests))
    }
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let count: u64 = args.get(1).map_or(100, |x| x.parse().unwrap());
    let seed: u64 = args.get(2).map_or(1, |x| x.parse().unwrap());
    let seeds = 3;
    let mut all = profiles::known();
    all.extend(profiles::drawn(count, seed));
    let mut ratios = vec![];
    let mut two = vec![];
    let mut olds = vec![];
    for p in &all {
        let mean = |f: &mut dyn FnMut(u64) -> Option<play::Played>| {
            let mut t: Vec<_> = (0..seeds).map(|s| f(s).map_or(1e9, |p| p.seconds)).collect();
            t.sort_by(f64::total_cmp);
            t[t.len() / 2]
        };
        let mut best = (f64::INFINITY, 0, 0, 0);
        for n in [4, 8, 16, 32, 64, 128, 256, 512] {
            for s in [1, 2, 4, 8, 16, 32, 64] {
                let t = mean(&mut |seed| play(p, &mut peers::Fixed { requests: n, part_bytes: s << 20 }, seed));
                if t < best.0 * 0.98 {
                    best = (t, n, s, n)
                } else if t < best.0 * 1.02 {
                    best.3 = n;
                    best.0 = best.0.min(t);
                }
            }
        }
        let mut peak = 0;
        let mut reqs = 0;
        let mut refused = 0;
        let ours = mean(&mut |seed| {
            let bounds = Bounds { requests: 512, part_bytes: 64 << 20 };
            let r = play(p, &mut Ours { c: Controller::new(bounds), bounds }, seed);
            if let Some(r) = r {
                peak = r.peak;
                reqs = r.requests;
                refused = r.refused;
            }
            r
        });
        let old = mean(&mut |seed| play(p, &mut peers::Fixed { requests: 32, part_bytes: 8 << 20 }, seed));
        let ratio = best.0 / ours;
        ratios.push(ratio);
        olds.push(best.0 / old);
        if (1.0..4.0).contains(&best.0) {
            two.push(ratio);
        }
        println!(
            "{ratio:.2} {:.2} best {:.3}s {}x{}M (n<={}) ours {ours:.3}s peak {peak} requests {reqs} refused {refused}  {} {:.0}MiB fb {:.0}ms s{:.1} conn {:.0} link {:.0}MB/s {:?} {:?}",
            best.0 / old,
            best.0,
            best.1,
            best.2,
            best.3,
            p.name,
            p.object as f64 / 1048576.0,
            p.first_byte * 1e3,
            p.sigma,
            p.connection / 1e6,
            p.link / 1e6,
            p.crowd,
            p.requests
        );
    }
    for (name, r) in [("all", &mut ratios), ("2s", &mut two), ("32x8", &mut olds)] {
        r.sort_by(f64::total_cmp);
        println!(
            "{name}: n {} median {:.3} p5 {:.3} p2 {:.3} worst {:.3}",
            r.len(),
            r[r.len() / 2],
            r[r.len() / 20],
            r[r.len() / 50],
            r[0]
        );
    }
}
