# SPDX-License-Identifier: BSD-2-Clause
"""sg3_utils understand every answer: pages, lists, parameter data, sense."""
# lab: subset yes
# lab: seconds 60
# lab: modules iscsi_tcp sd_mod sg
# lab: needs iscsid sg_vpd sg_opcodes

from scenario import *

DOUBT = re.compile(r"malformed|invalid length|too short|truncat|unexpected|decod\w* error|bad (page|response)|"
                   r"not decode|fail|warning|<<", re.I)


def sane(*command, has=()):
    """What a program says, which holds all of has and no word of doubt."""
    text = run(*command)
    doubt = [line for line in text.splitlines() if DOUBT.search(line)]
    assert not doubt, "%s: %s" % (command, doubt)
    for words in has:
        assert words in text, "%s: no %r in:\n%s" % (command, words, text)
    return text


d = Tgtd().export(image("64M"), "disk", 1, "--thin")
session = login(d)
disk = session.disk()

with point("sg_inq and sg_turs: the device is there and ready", go_on=True):
    sane("sg_inq", disk, has=["PQual=0  PDT=0", "[SPC-4]", "CmdQue=1", "IET", "VIRTUAL-DISK", "Unit serial number"])
    sane("sg_turs", disk)
with point("sg_vpd -a: every page that is listed decodes", go_on=True):
    listed = re.findall(r"\[(\w+)\]$", sane("sg_vpd", "-p", "sv", disk), re.M)
    assert {"sv", "sn", "di", "bl", "bdc", "lbpv"} <= set(listed), listed
    sane("sg_vpd", "-a", disk, has=["NAA,  code set: Binary", "transport: Internet SCSI (iSCSI)",
                                    "Relative target port: 0x1", "Maximum unmap LBA count", "thin provisioned"])
    for page in listed:
        sane("sg_vpd", "-p", page, disk)
with point("sg_opcodes: every command, alone and in the list, with masks and timeouts", go_on=True):
    text = sane("sg_opcodes", "-R", "-m", "-n", disk)
    # opcode, service action (or blanks), length of the CDB; then a line with the usage map
    found = re.findall(r"^ (\w\w) {7}([ \w]{2}) +(\d+) .*\n +cdb usage: ((?:\w\w ?)+)$", text, re.M)
    assert len(found) >= 40, text
    for opcode, action, length, usage in found:
        assert len(usage.split()) == int(length) and usage.startswith(opcode), (opcode, action, usage)
    for opcode, action, *_ in found[::6] + [f for f in found if f[1].strip()][:2]:
        which = "0x%s%s" % (opcode, ",0x" + action.strip() if action.strip() else "")
        one = sane("sg_opcodes", "-n", "-o", which, disk)
        assert "supported" in one.lower() or "conforms" in one.lower(), one
    assert "not supported" in run("sg_opcodes", "-n", "-o", "0x4d", disk, status=None).lower()
with point("sg_opcodes -t: task management functions", go_on=True):
    sane("sg_opcodes", "-n", "-t", disk, has=["Abort task", "Logical unit reset"])
with point("sg_modes: pages current, changeable, default and saved", go_on=True):
    sane("sg_modes", "-a", disk, has=["Caching", "Control"])
    for control in (1, 2):
        sane("sg_modes", "-a", "-c", control, disk, has=["Caching"])
    sane("sg_modes", "-6", "-a", disk, has=["Caching"])
with point("sg_readcap and sg_luns", go_on=True):
    sane("sg_readcap", disk, has=["Last LBA=131071"])
    sane("sg_readcap", "-l", disk, has=["lbpme=1, lbprz=1", "Logical block length=512 bytes"])
    sane("sg_luns", "-d", disk, has=["lun=1"])
    sane("sg_luns", "-s", 2, disk)

data = pattern(64 * 512, seed=3)
with open("block", "wb") as f:
    f.write(data[:512])
with open(disk, "r+b") as f:
    f.write(data)
    os.fsync(f.fileno())


def at(lba, blocks=1):
    run("blockdev", "--flushbufs", disk)
    with open(disk, "rb") as f:
        f.seek(lba * 512)
        return f.read(blocks * 512)


with point("sg_get_lba_status tells mapped from deallocated", go_on=True):
    text = sane("sg_get_lba_status", "--lba=0", "--maxlen=512", disk)
    assert re.search(r"LBA: 0x0+  blocks: +64  mapped", text), text
    assert re.search(r"LBA: 0x0+40  blocks: +\d+  deallocated", text), text
with point("sg_unmap deallocates, and zeros are read", go_on=True):
    sane("sg_unmap", "--lba=0", "--num=8", "--force", disk)
    assert re.search(r"LBA: 0x0+  blocks: +8  deallocated", sane("sg_get_lba_status", "--lba=0", disk))
    assert at(0, 8) == bytes(8 * 512) and at(8, 8) == data[8 * 512:16 * 512]
with point("sg_write_same writes, unmaps, and does without a buffer", go_on=True):
    for width in ("--10", "--16"):
        sane("sg_write_same", width, "--lba=16", "--num=8", "--in=block", disk)
        assert at(16, 8) == data[:512] * 8
        sane("sg_write_same", width, "--unmap", "--lba=16", "--num=8", "--in=/dev/zero", disk)
        assert at(16, 8) == bytes(8 * 512)
    assert re.search(r"LBA: 0x0+10  blocks: +8  deallocated", sane("sg_get_lba_status", "--lba=16", disk))
    sane("sg_write_same", "--ndob", "--16", "--lba=24", "--num=8", disk)
    assert at(24, 8) == bytes(8 * 512)
with point("sg_compare_and_write writes if it is equal, and says where it is not", go_on=True):
    with open("pair", "wb") as f:
        f.write(data[40 * 512:41 * 512] + bytes(512))
    sane("sg_compare_and_write", "--lba=40", "--num=1", "--xferlen=1024", "--in=pair", disk)
    assert at(40) == bytes(512)
    text = run("sg_compare_and_write", "--lba=40", "--num=1", "--xferlen=1024", "--in=pair", disk, status=14)
    assert "miscompare" in text.lower(), text
with point("sg_verify and sg_sync", go_on=True):
    sane("sg_verify", "--lba=0", "--count=64", disk)
    sane("sg_sync", disk)
    sane("sg_sync", "--16", "--lba=8", "--count=8", disk)
with point("reading beyond the end is refused with the sense data that says so", go_on=True):
    text = run("sg_raw", "-r", "512", disk, *"28 00 00 02 00 00 00 00 01 00".split(), status=None)
    assert "Logical block address out of range" in text, text
with point("what is not served is refused as such", go_on=True):
    for command in (["sg_rtpg", disk], ["sg_logs", "-a", disk], ["sg_ident", disk], ["sg_rep_zones", disk],
                    ["sg_copy_results", "-p", disk], ["sg_timestamp", disk], ["sg_senddiag", "-t", disk]):
        text = run(*command, status=None)
        assert "not supported" in text or "Illegal request" in text or "nvalid opcode" in text, text
with point("sg_reset of device and target: a unit attention each, and then it is ready", go_on=True):
    for kind in ("-d", "-t"):
        sane("sg_reset", kind, disk)
        first = run("sg_turs", "-v", disk, status=None)
        assert "Unit Attention" in first and "reset" in first, first
        sane("sg_turs", disk)
with point("sg_dd and sg_read carry data by the generic device", go_on=True):
    generic = session.generic()
    sane("sg_dd", "if=" + generic, "of=copy", "bs=512", "count=64")
    assert open("copy", "rb").read()[8 * 512:16 * 512] == data[8 * 512:16 * 512]
    sane("sg_read", "if=" + generic, "bs=512", "count=256")
with point("sg_start stops and starts the unit", go_on=True):
    sane("sg_start", "--stop", disk)
    assert "not ready" in run("sg_turs", "-v", disk, status=None).lower()
    sane("sg_start", "--start", disk)
    sane("sg_turs", disk)
