//! A picture of the run (SVG): what each row costs, against the least that it could.

use crate::plan::Subject;
use crate::run::Row;
use std::fmt::Write;

const WIDTH: f64 = 1000.0;
const LEFT: f64 = 290.0;
const RIGHT: f64 = 110.0;
const LINE: f64 = 26.0;
const TOP: f64 = 64.0;
/// The multiple of the floor at the right end.
const MOST: f64 = 3.0;

const BARE: &str = "#9aa5b1";
const SIGN: &str = "#4f7cac";
const REST: &str = "#e0803a";

/// The picture. Each bar is the server's processor time of one answer as a multiple of the row's floor:
/// first the bare handler, then what the floor does besides, then the rest. A tick is the goal.
pub fn svg(rows: &[Row], title: &str) -> String {
    let bars: Vec<&Row> = rows
        .iter()
        .filter(|row| !row.subject.is_reference())
        .collect();
    let height = TOP + LINE * bars.len() as f64 + 40.0;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#ffffff\"/>\n"
    );
    text(
        &mut out,
        12.0,
        22.0,
        "start",
        &format!("Processor time of the server for one answer. {title}"),
    );
    let legend = [
        (BARE, "HTTP: a bare handler"),
        (SIGN, "and a signature: the floor"),
        (REST, "all that Writ does besides"),
    ];
    for (number, (colour, name)) in legend.into_iter().enumerate() {
        let x = LEFT + 200.0 * number as f64;
        rect(&mut out, x, 34.0, 12.0, colour);
        text(&mut out, x + 18.0, 45.0, "start", name);
    }
    for (number, row) in bars.iter().enumerate() {
        bar(&mut out, TOP + LINE * number as f64, row);
    }
    let bottom = TOP + LINE * bars.len() as f64;
    for quarter in 0..=12 {
        let multiple = f64::from(quarter) / 4.0;
        let shade = if quarter == 4 { "#444444" } else { "#dddddd" };
        line(&mut out, at(multiple), TOP - 6.0, bottom, shade, 1.0);
        if quarter % 2 == 0 {
            text(
                &mut out,
                at(multiple),
                bottom + 18.0,
                "middle",
                &format!("{multiple} ×"),
            );
        }
    }
    out.push_str("</svg>\n");
    out
}

/// Where a multiple of the floor is.
fn at(multiple: f64) -> f64 {
    LEFT + (WIDTH - LEFT - RIGHT) * multiple.clamp(0.0, MOST) / MOST
}

fn bar(out: &mut String, y: f64, row: &Row) {
    text(out, LEFT - 8.0, y + 15.0, "end", &row.name);
    let Some(whole) = row.of_floor else {
        return text(
            out,
            LEFT + 4.0,
            y + 15.0,
            "start",
            &format!("{:.1} µs", row.server_us),
        );
    };
    // Of a row whose floor is the bare handler, that is one whole.
    let bare = match (row.subject.floor(), row.of_bare) {
        (Subject::Bare, _) | (_, None) => 1.0,
        (_, Some(of_bare)) => whole / of_bare,
    };
    let ends = [bare.min(whole), whole.min(1.0), whole];
    let mut from = 0.0_f64;
    for (to, colour) in ends.into_iter().zip([BARE, SIGN, REST]) {
        if to > from {
            let (x, width) = (at(from), at(to) - at(from));
            let _ = writeln!(
                out,
                "<rect x=\"{x:.1}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"{:.1}\" fill=\"{colour}\"/>",
                y + 3.0,
                LINE - 8.0
            );
            from = to;
        }
    }
    if let Some(goal) = row.goal_us {
        let x = at(goal * whole / row.server_us);
        line(out, x, y, y + LINE - 2.0, "#b00020", 2.5);
    }
    let beyond = if whole > MOST { " →" } else { "" };
    let label = format!("{:.1} µs{beyond}", row.server_us);
    text(out, at(whole.max(1.0)) + 6.0, y + 15.0, "start", &label);
}

fn rect(out: &mut String, x: f64, y: f64, side: f64, colour: &str) {
    let _ = writeln!(
        out,
        "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{side}\" height=\"{side}\" fill=\"{colour}\"/>"
    );
}

fn line(out: &mut String, x: f64, from: f64, to: f64, colour: &str, width: f64) {
    let _ = writeln!(
        out,
        "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{from:.1}\" y2=\"{to:.1}\" stroke=\"{colour}\" \
         stroke-width=\"{width}\"/>"
    );
}

fn text(out: &mut String, x: f64, y: f64, anchor: &str, text: &str) {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    let _ = writeln!(
        out,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" fill=\"#222222\">{text}</text>"
    );
}
