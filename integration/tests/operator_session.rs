//! An operator's morning on a network with 40 containers, of which one is dead and one static and
//! stopped. The operator looks around, asks who had what, clears up by hand, reserves, and counts.

use berth_integration::session::{GHOST, ONCE_LOST, STOPPED};
use berth_integration::{Lab, ip};
use serde_json::Value;

const CONTAINERS: usize = 40;

struct Session(Lab);

impl Session {
    /// Runs a berth command, given as one would type it.
    #[track_caller]
    fn says(&self, line: &str) -> String {
        self.0.cmd("berth").args(line.split(' ')).ok()
    }

    #[track_caller]
    fn json(&self, line: &str) -> Value {
        let text = self.says(line);
        serde_json::from_str(&text).unwrap_or_else(|err| panic!("{err} in `{text}`"))
    }

    #[track_caller]
    fn count(&self, line: &str) -> usize {
        self.says(line).lines().count()
    }
}

#[test]
fn an_operator_sees_and_does_what_there_is_to_see_and_do() {
    let lab = Lab::start();
    let network = lab.busy_network(CONTAINERS);
    let session = Session(lab);
    who_has_what(&session);
    what_a_picture_shows(&session);
    who_had_what(&session);
    what_is_counted(&session, "1");
    clearing_up(&session);
    reserving(&session);
    what_is_counted(&session, "0");

    let Session(lab) = session;
    lab.podman(["rm", "--force", "--all", "--time=0"]).run();
    lab.podman(["rm", "--force", "--all", "--time=0"]).ok();
    lab.cmd("berth").arg("gc").ok();
    lab.assert_clean(&network);
}

fn who_has_what(session: &Session) {
    // One line for each container but the stopped one, and a heading.
    assert_eq!(session.count("list"), CONTAINERS);
    let quiet = "ls --quiet --network web --filter";
    assert_eq!(session.says(&format!("{quiet} state=dead")), GHOST);
    let live = session.count(&format!("{quiet} state=live"));
    assert_eq!(live, CONTAINERS - 2);
    assert_eq!(session.says(&format!("{quiet} container=proxy")), ONCE_LOST);
    assert_eq!(
        session.count(&format!("{quiet} address=10.50.0.0/29")),
        6,
        "from .2 on"
    );
    let held = session.says("ls --all --format {{.Address}}={{.ContainerName}} -f container=db");
    assert_eq!(held, format!("{STOPPED}=db"));

    let ghost = &session.json(&format!("inspect {GHOST}"))[0];
    assert_eq!(ghost["state"], "dead");
    let evidence = &ghost["lease"]["evidence"];
    assert_eq!(evidence["inhabitants"], Value::Array(Vec::new()));
    let web = &session.json("inspect web")[0];
    assert_eq!(web["subnets"][0]["states"]["live"], CONTAINERS - 2);
}

fn what_a_picture_shows(session: &Session) {
    let map = session.says("map web");
    let legend = format!("{} live", CONTAINERS - 2);
    assert!(map.contains(&legend) && map.contains("1 dead"), "{map}");
    assert!(session.says("map web --format svg").starts_with("<svg"));
    let page = session.says("map web --format html");
    assert!(
        page.contains("ghost") && page.contains(GHOST),
        "it says who"
    );
}

fn who_had_what(session: &Session) {
    let outcomes = |line: &str| -> Vec<String> {
        let spells = session.json(line);
        let spells = spells.as_array().expect("a list").iter();
        spells
            .map(|spell| {
                format!("{} {}", spell["container_name"], spell["outcome"]).replace('"', "")
            })
            .collect()
    };
    let history = format!("history --json {ONCE_LOST}");
    assert_eq!(outcomes(&history), ["proxy reclaimed", "proxy held"]);
    assert_eq!(outcomes("history --json db"), ["db released"]);
    assert_eq!(outcomes("history --json ghost"), ["ghost held"]);
    assert_eq!(outcomes("history --json web").len(), CONTAINERS + 1);
    let why = session.says(&format!("history --since 1h {ONCE_LOST}"));
    assert!(why.contains("reclaimed: no process is in"), "{why}");
}

fn what_is_counted(session: &Session, dead: &str) {
    let metrics = session.says("metrics");
    for sample in [
        "berth_up 1".to_owned(),
        format!("berth_leases{{network=\"web\",state=\"dead\"}} {dead}"),
        format!(
            "berth_leases{{network=\"web\",state=\"live\"}} {}",
            CONTAINERS - 2
        ),
    ] {
        let found = metrics.lines().any(|line| line == sample);
        assert!(found, "no {sample} in:\n{metrics}");
    }
}

fn clearing_up(session: &Session) {
    let Session(lab) = session;
    let proxy = format!("release {ONCE_LOST} --network web");
    lab.cmd("berth")
        .args(proxy.split(' '))
        .fails("its published ports (8080/tcp)");
    let said = session.says(&format!("release {GHOST} --network web"));
    assert!(
        said.contains(&format!("released {GHOST} of container")),
        "{said}"
    );
    assert_eq!(session.says("ls -q -f state=dead"), "");
    let last = session.says("history ghost");
    assert!(last.contains(" reclaimed: no process is in"), "{last}");
}

fn reserving(session: &Session) {
    let Session(lab) = session;
    session.says("reserve 10.50.0.100 --network web --for mail");
    session.says("reserve 10.50.0.101 --network web --comment printer");
    let reserved = "ls --all --quiet --filter state=reserved";
    assert_eq!(session.says(reserved), "10.50.0.100\n10.50.0.101");
    lab.container("mail", &["web"]).start();
    assert_eq!(lab.addresses("mail", "eth0"), [ip("10.50.0.100")]);
    lab.remove("mail");
    lab.container("other", &["web"])
        .ip("10.50.0.101")
        .fails("is reserved on network web for no container (printer)");
    lab.remove("other");
    session.says("unreserve 10.50.0.101 --network web");
    // The stopped container comes back to its own address.
    lab.podman(["start", "db"]).ok();
    assert_eq!(lab.addresses("db", "eth0"), [ip(STOPPED)]);
    lab.podman(["stop", "--time=0", "db"]).ok();
}
