/* SPDX-License-Identifier: BSD-2-Clause */
/* The commands: what they are called, what they take, which verb does it, how it is shown. */
#include "tgtctl.h"

#define END \
	{ \
		0 \
	}
#define OPT ARG_OPTIONAL

/* clang-format off */
#define STORE_OPTIONS \
	{ "lun", "lun", 'i', "N", "logical unit number (default: the lowest free one from 1)" }, \
	{ "type", "bstype", 's', "TYPE", \
	  "store type: file (rdwr), mem, nbd, ... (see system), layers before it: limit:iops=9+file" }, \
	{ "bsopts", "bsopts", 's', "K=V;...", "options of the store" }, \
	{ "bsoflags", "bsoflags", 's', "FLAGS", "sync, direct or sync:direct" }, \
	{ "block-size", "block_size", 's', "BYTES", "logical block: 512 (default) to 4096" }, \
	{ "readonly", "readonly", 'b', NULL, "refuse writes" }, \
	{ "thin", "thin", 'b', NULL, "report thin provisioning" }

static const struct ctl_option export_options[] = {
	{ "name", "name", 's', "IQN", "target name (default: from host name and path)" },
	{ "tid", "tid", 'i', "N", "target number (default: the lowest free one)" },
	{ "size", "size", 's', "SIZE", "make a sparse image of this size if there is none" },
	{ "allow", "initiator_address", 's', "ADDRESS",
	  "who may log in: address, network (a/bits) or ALL (default)" },
	STORE_OPTIONS,
	END,
};
static const struct ctl_option target_create_options[] = {
	{ "tid", "tid", 'i', "N", "target number (default: the lowest free one)" },
	END,
};
static const struct ctl_option force_options[] = {
	{ "force", "force", 'b', NULL, "although it is in use" },
	END,
};
static const struct ctl_option lun_create_options[] = {
	{ "device-type", "type", 's', "TYPE", "disk (default), or pt: a SCSI device of the host as it is" },
	STORE_OPTIONS,
	END,
};
static const struct ctl_option lun_set_options[] = {
	{ "clear-error", "clear_error", 'b', NULL, "let writes through after a failed flush" },
	END,
};
static const struct ctl_option lun_swap_options[] = {
	{ "type", "bstype", 's', "TYPE", "store type (default: file)" },
	{ "bsopts", "bsopts", 's', "K=V;...", "options of the store" },
	{ "bsoflags", "bsoflags", 's', "FLAGS", "sync, direct or sync:direct" },
	{ "other-size", "other_size", 'b', NULL, "it may have another size" },
	END,
};
static const struct ctl_option account_create_options[] = {
	{ "password", "password", 'p', "SECRET", "visible to other users: better one of the others" },
	{ "password-file", "password", 'f', "FILE", "the first line of FILE, '-' for standard input" },
	END,
};
static const struct ctl_option account_bind_options[] = {
	{ "outgoing", "outgoing", 'b', NULL, "the target proves itself with it (mutual CHAP)" },
	END,
};

static const struct ctl_option vhost_add_options[] = {
	{ "queues", "queues", 'i', "N", "request queues that are offered (default 16)" },
	{ "mode", "mode", 's', "OCTAL", "who may connect to the socket (default 0600)" },
	{ "owner", "uid", 'u', "USER", "owner of the socket, a name or a number" },
	{ "group", "gid", 'g', "GROUP", "group of the socket, a name or a number" },
	END,
};
static const struct ctl_option attach_options[] = {
	{ "fabric", "fabric", 's', "FABRIC",
	  "loop: a disk of this host (default); vhost: vhost-scsi of the kernel; none: the TCMU device alone" },
	{ "name", "name", 's', "NAME", "of the TCMU device (default: from target and LUN)" },
	{ "shared", "shared", 's', "unsafe", "others may have the LUN, too: see tgtctl(8)" },
	END,
};

static const struct ctl_option trace_start_options[] = {
	{ "size", "size", 'i', "N", "records for each data reactor: 64 to 1048576 (default 16384)" },
	{ "lun", "lun", 'i', "N", "only this logical unit number" },
	{ "opcode", "opcode", 's', "NAME", "only this command: READ(10), 0x28 or 40" },
	END,
};
static const struct ctl_option trace_dump_options[] = {
	{ "count", "count", 'i', "N", "the newest N events: 1 to 65536 (default 1000)" },
	END,
};

const struct command commands[] = {
	{ "export", "export", { "PATH" }, { ARG_PATH | OPT }, export_options, false, show_export,
	  "serve a file, block device, image or NBD export: one command to a usable target",
	  "tgtctl export /srv/disk.img --size 10G\n"
	  "  tgtctl export /srv/disk.qcow2\n"
	  "  tgtctl export nbd://images.example.org/disk1\n"
	  "  tgtctl export /dev/vg0/lv0 --name iqn.2026-01.org.example:lv0 --allow 192.0.2.0/24" },

	{ "target create", "target.create", { "NAME" }, { ARG_NAME }, target_create_options, false,
	  show_made_target, "make a target",
	  "tgtctl target create iqn.2026-01.org.example:disks" },
	{ "target delete", "target.delete", { "TARGET" }, { ARG_TARGET }, force_options, false, NULL,
	  "delete a target and its logical units", "tgtctl target delete 1 --force" },
	{ "target list", "target.list", { 0 }, { 0 }, NULL, false, show_target_list,
	  "list targets", "tgtctl target list --json" },
	{ "target show", "target.list", { "TARGET" }, { ARG_TARGET }, NULL, false,
	  show_target_details, "show everything about a target", "tgtctl target show 1" },
	{ "target settings", "target.params", { "TARGET" }, { ARG_TARGET }, NULL, false,
	  show_target_settings, "show the iSCSI settings of a target", "tgtctl target settings 1" },
	{ "target set", "target.update", { "TARGET", "NAME", "VALUE" },
	  { ARG_TARGET, ARG_NAME, ARG_VALUE }, NULL, false, NULL, "change a setting of a target",
	  "tgtctl target set 1 MaxBurstLength 1048576\n  tgtctl target set 1 state offline" },

	{ "lun create", "lun.create", { "TARGET", "PATH" }, { ARG_TARGET, ARG_PATH | OPT },
	  lun_create_options, false, show_made_lun, "add a logical unit to a target",
	  "tgtctl lun create 1 /srv/data.img --thin\n"
	  "  tgtctl lun create 1 --type mem --bsopts size=64M\n"
	  "  tgtctl lun create 1 /dev/sg3 --device-type pt" },
	{ "lun delete", "lun.delete", { "TARGET", "LUN" }, { ARG_TARGET, ARG_LUN }, force_options,
	  false, NULL, "delete a logical unit", "tgtctl lun delete 1 2" },
	{ "lun set", "lun.update", { "TARGET", "LUN", "NAME=VALUE..." },
	  { ARG_TARGET, ARG_LUN, ARG_PAIRS | OPT }, lun_set_options, false, NULL,
	  "change settings of a logical unit", "tgtctl lun set 1 1 vendor_id=ACME online=0" },
	{ "lun resize", "lun.resize", { "TARGET", "LUN", "SIZE" },
	  { ARG_TARGET, ARG_LUN, ARG_SIZE | OPT }, NULL, false, NULL,
	  "make a store larger, or take over the size it has by now",
	  "tgtctl lun resize 1 1 20G\n  tgtctl lun resize 1 1" },
	{ "lun swap", "lun.swap", { "TARGET", "LUN", "PATH" },
	  { ARG_TARGET, ARG_LUN, ARG_PATH | OPT }, lun_swap_options, false, NULL,
	  "put another store with the same contents behind a logical unit that is in use",
	  "tgtctl lun swap 1 1 /mnt/new/data.img\n"
	  "  tgtctl lun swap 1 1 /dev/vg0/data --bsoflags direct" },
	{ "lun offline", "lun.offline", { "TARGET", "LUN" }, { ARG_TARGET, ARG_LUN }, NULL, false,
	  NULL, "flush and close the store, keep the logical unit", "tgtctl lun offline 1 1" },
	{ "lun online", "lun.online", { "TARGET", "LUN" }, { ARG_TARGET, ARG_LUN }, NULL, false,
	  NULL, "open the store again", "tgtctl lun online 1 1" },
	{ "lun reopen", "lun.reopen", { "TARGET", "LUN" }, { ARG_TARGET, ARG_LUN }, NULL, false,
	  NULL, "close the store and open it again", "tgtctl lun reopen 1 1" },
	{ "lun list", "target.list", { "TARGET" }, { ARG_TARGET | OPT }, NULL, false, show_lun_list,
	  "list logical units", "tgtctl lun list 1" },

	{ "acl add", "acl.add", { "TARGET", "RULE" }, { ARG_TARGET, ARG_RULE }, NULL, false, NULL,
	  "admit an address, network (address/bits), ALL, or initiator name",
	  "tgtctl acl add 1 192.0.2.0/24\n  tgtctl acl add 1 iqn.1993-08.org.debian:01:abc" },
	{ "acl remove", "acl.remove", { "TARGET", "RULE" }, { ARG_TARGET, ARG_RULE }, NULL, false,
	  NULL, "remove such a rule", "tgtctl acl remove 1 ALL" },
	{ "acl list", "target.list", { "TARGET" }, { ARG_TARGET | OPT }, NULL, false, show_acl_list,
	  "list who is admitted", "tgtctl acl list" },

	{ "account create", "account.create", { "USER" }, { ARG_USER }, account_create_options, true,
	  NULL, "make a CHAP account; the password comes from standard input unless said otherwise",
	  "tgtctl account create joe --password-file secret.txt\n"
	  "  TGT_PASSWORD=... tgtctl account create joe" },
	{ "account delete", "account.delete", { "USER" }, { ARG_USER }, NULL, false, NULL,
	  "delete an account and its bindings", "tgtctl account delete joe" },
	{ "account list", "account.list", { 0 }, { 0 }, NULL, false, show_account_list,
	  "list accounts and what they are bound to", "tgtctl account list" },
	{ "account bind", "account.bind", { "USER", "TARGET" }, { ARG_USER, ARG_TARGET | OPT },
	  account_bind_options, false, NULL,
	  "require an account of initiators; without TARGET: for discovery",
	  "tgtctl account bind joe 1" },
	{ "account unbind", "account.unbind", { "USER", "TARGET" }, { ARG_USER, ARG_TARGET | OPT },
	  account_bind_options, false, NULL, "undo account bind", "tgtctl account unbind joe 1" },

	{ "session list", "session.list", { "TARGET" }, { ARG_TARGET | OPT }, NULL, false,
	  show_session_list, "list sessions", "tgtctl session list" },
	{ "session close", "session.close", { "TARGET", "SID" }, { ARG_TARGET, ARG_SID }, NULL,
	  false, NULL, "close a session (initiators usually come back)",
	  "tgtctl session close 1 3" },

	{ "portal add", "portal.add", { "ADDRESS:PORT" }, { ARG_PORTAL }, NULL, false,
	  show_portal_list, "listen at an address", "tgtctl portal add [::1]:3260" },
	{ "portal remove", "portal.remove", { "ADDRESS:PORT" }, { ARG_PORTAL }, NULL, false, NULL,
	  "stop listening at an address; sessions stay", "tgtctl portal remove 127.0.0.1:3260" },
	{ "portal list", "portal.list", { 0 }, { 0 }, NULL, false, show_portal_list, "list portals",
	  "tgtctl portal list" },

	{ "vhost add", "vhost.add", { "TARGET", "SOCKET" }, { ARG_TARGET, ARG_PATH }, vhost_add_options,
	  false, NULL, "offer a target to a hypervisor: a vhost-user-scsi socket",
	  "tgtctl vhost add 1 /run/tgtd/vm1.sock --group kvm --mode 0660" },
	{ "vhost remove", "vhost.remove", { "SOCKET" }, { ARG_PATH }, NULL, false, NULL,
	  "remove such a socket and end its connection", "tgtctl vhost remove /run/tgtd/vm1.sock" },
	{ "vhost list", "vhost.list", { 0 }, { 0 }, NULL, false, show_vhost_list,
	  "list vhost-user-scsi sockets", "tgtctl vhost list" },

	{ "attach list", "tcmu.list", { 0 }, { 0 }, NULL, false, show_attached_list,
	  "list what the kernel has", "tgtctl attach list" },
	{ "attach", "tcmu.attach", { "TARGET", "LUN" }, { ARG_TARGET, ARG_LUN }, attach_options, false,
	  show_attached, "make a logical unit a disk of this host, or give it to the kernel's fabrics",
	  "tgtctl attach 1 1\n  tgtctl attach 1 2 --fabric none --name lun2" },
	{ "detach", "tcmu.detach", { "TARGET", "LUN" }, { ARG_TARGET, ARG_LUN }, NULL, false, NULL,
	  "undo attach", "tgtctl detach 1 1" },

	{ "ls", "target.list", { 0 }, { 0 }, NULL, false, show_tree,
	  "targets, logical units and sessions at a glance", "tgtctl ls" },
	{ "stat", "stat", { 0 }, { 0 }, NULL, false, show_stat,
	  "live objects, counters, latencies", "tgtctl stat --json" },
	{ "trace start", "trace.start", { "TARGET" }, { ARG_TARGET | OPT }, trace_start_options, false,
	  show_trace_status, "record what happens to commands, in memory; without TARGET: to all",
	  "tgtctl trace start\n  tgtctl trace start 1 --lun 1 --opcode 'WRITE(10)' --size 100000" },
	{ "trace stop", "trace.stop", { 0 }, { 0 }, NULL, false, show_trace_status,
	  "record no more; what is recorded can still be dumped", "tgtctl trace stop" },
	{ "trace dump", "trace.dump", { 0 }, { 0 }, trace_dump_options, false, show_trace_dump,
	  "print what is recorded, oldest first", "tgtctl trace dump --count 100", true },
	{ "trace status", "trace.status", { 0 }, { 0 }, NULL, false, show_trace_status,
	  "is a trace recorded, and how much of it is there", "tgtctl trace status" },
	{ "trace clear", "trace.clear", { 0 }, { 0 }, NULL, false, show_trace_status,
	  "end the trace and give its memory back", "tgtctl trace clear" },
	{ "system", "system.show", { 0 }, { 0 }, NULL, false, show_system_state,
	  "version, state, engine, store types", "tgtctl system" },
	{ "log", "system.update", { "LEVEL" }, { ARG_LEVEL }, NULL, false, NULL,
	  "what the daemon logs: error, warning, info or debug", "tgtctl log debug" },
	{ "shutdown", "system.shutdown", { 0 }, { 0 }, force_options, false, NULL,
	  "end the daemon", "tgtctl shutdown --force" },
	{ "rpc", "", { "METHOD", "JSON" }, { ARG_METHOD, ARG_JSON | OPT }, NULL, false, show_json,
	  "call a method of the control socket; help lists them",
	  "tgtctl rpc help\n  tgtctl rpc target.list '{\"tid\": 1}'" },
	{ 0 },
};
/* clang-format on */
