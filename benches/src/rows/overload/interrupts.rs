//! Which core the devices interrupt: the disk's end of a write is told to one core, and whoever keeps that core at work keeps all
//! waiting who wait for the disk, as nobody could from another machine.

/// The interrupts by devices of a core since the start, as `/proc/interrupts` counts them (proc_interrupts(5)).
pub(super) fn of_core(text: &str, core: usize) -> u64 {
    let mut lines = text.lines();
    let name = format!("CPU{core}");
    let cores = lines.next().unwrap_or_default().split_whitespace();
    let Some(column) = cores.into_iter().position(|of| of == name) else { return 0 };
    let counts = lines.filter_map(|line| {
        let (interrupt, counts) = line.split_once(':')?;
        // Those with a name and not a number are the processor's own: timers, and cores that wake each other.
        interrupt.trim().parse::<u32>().ok()?;
        counts.split_whitespace().nth(column)?.parse::<u64>().ok()
    });
    counts.sum()
}

#[cfg(test)]
mod tests {
    use super::of_core;

    const TEXT: &str = "            CPU0       CPU1       CPU3
   0:         12          0          0   IO-APIC   2-edge      timer
  36:          0          5   45577354  PCI-MSIX-0000:00:02.0   1-edge      virtio1-req.0
  42:          1          0          7  PCI-MSIX-0000:00:04.0   2-edge      virtio3-tx
 LOC:    7046573    6604193    8231563   Local timer interrupts
 ERR:          0
";

    #[test]
    fn only_interrupts_by_devices_count_each_for_its_core() {
        assert_eq!([0, 1, 2, 3].map(|core| of_core(TEXT, core)), [13, 5, 0, 45_577_361]);
        assert_eq!(of_core("", 0), 0);
    }
}
