#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Programs that people use, on real data: iscsi-ls, iscsi-inq, qemu-img with a file system made by mkfs.ext4."""

import hashlib
import os
import random

from lab import cases, main, need, test

IMAGE_MIB = 64


def sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as f:
        for block in iter(lambda: f.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def file_system(lab, block_size=4096):
    """An ext4 image that holds files of many sizes; returns its path. The same bytes in each run."""
    rnd = random.Random(20)
    tree = lab.path("tree")
    for i in range(60):
        folder = os.path.join(tree, "d%d" % (i % 7))
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, "f%d" % i), "wb") as f:
            f.write(rnd.randbytes(int(2 ** rnd.uniform(0, 20))))
    path = lab.image("%dM" % IMAGE_MIB, "fs.img")
    lab.run("mkfs.ext4", "-q", "-F", "-b", block_size, "-d", tree, path)
    return path


def check_file_system(lab, path):
    lab.run("e2fsck", "-f", "-n", path)


@test
def iscsi_ls_lists_the_target_and_its_disk(lab):
    d = lab.start()
    d.export(lab.image("64M"))
    text = lab.run("iscsi-ls", "-s", d.portal_url()).stdout
    assert "Target:%s Portal:%s" % (d.name, d.portal()) in text, text
    assert "Type:DIRECT_ACCESS" in text and "Size:" in text, text


@test
def iscsi_ls_lists_every_target_on_every_portal(lab):
    d = lab.start(portals=("127.0.0.1", "127.0.0.1"))
    for tid in range(1, 6):
        d.export(lab.image("1M", "%d.img" % tid), name="iqn.2026-01.org.example:t%d" % tid, tid=tid)
    text = lab.run("iscsi-ls", d.portal_url(1)).stdout
    for tid in range(1, 6):
        assert "iqn.2026-01.org.example:t%d" % tid in text, text


@test
def iscsi_ls_and_qemu_work_over_ipv6(lab):
    d = lab.start(portals=("[::1]",))
    d.export(lab.image("8M"))
    assert d.name in lab.run("iscsi-ls", d.portal_url()).stdout
    need("qemu-img")
    assert "8 MiB" in lab.run("qemu-img", "info", "-f", "raw", d.url()).stdout


@test
def iscsi_inq_shows_what_tgt_showed(lab):
    d = lab.start()
    url = d.export(lab.image("64M"))
    text = lab.run("iscsi-inq", url).stdout
    assert "DIRECT_ACCESS" in text and "Vendor:IET" in text and "Product:VIRTUAL-DISK" in text, text
    text = lab.run("iscsi-inq", "-e", "1", "-c", "131", url).stdout
    assert "IET     00010001" in text, text


@cases(("512-byte blocks", 512, None, ()), ("4096-byte blocks", 4096, None, ()),
       ("thin, two reactors", 512, "thin_provisioning=1", ("--reactors", "2")),
       ("epoll", 512, None, ("--engine", "epoll")))
def a_file_system_comes_back_from_qemu_img_as_it_went_in(lab, block_size, params, options):
    d = lab.start(options=options)
    source = file_system(lab)
    url = d.export(lab.image("%dM" % IMAGE_MIB), block_size=block_size, params=params)
    lab.run("qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", source, url)
    lab.run("qemu-img", "convert", "-f", "raw", "-O", "raw", url, "back.img")
    assert sha256(source) == sha256(lab.path("back.img")), "what came back differs"
    check_file_system(lab, lab.path("back.img"))
    d.stop()
    assert sha256(source) == sha256(lab.path("disk.img")), "the image differs after the end of tgtd"


@test
def a_thin_image_stays_sparse(lab):
    d = lab.start()
    source = file_system(lab)
    url = d.export(lab.image("%dM" % IMAGE_MIB), params="thin_provisioning=1")
    lab.run("qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", source, url)
    used = os.stat(lab.path("disk.img")).st_blocks * 512
    data = os.stat(source).st_blocks * 512
    assert used <= data + (4 << 20), "%d bytes are allocated for %d bytes of data" % (used, data)


@test
def qemu_img_compares_equal_over_digests(lab):
    d = lab.start()
    source = file_system(lab)
    d.export(source)
    url = "%s:%d" % (d.addresses[0], d.ports[0])
    spec = ("driver=raw,file.driver=iscsi,file.transport=tcp,file.portal=%s,file.target=%s,file.lun=1,"
            "file.header-digest=crc32c" % (url, d.name))
    copy = lab.path("copy.img")
    lab.run("qemu-img", "convert", "--image-opts", "-O", "raw", spec, copy)
    assert sha256(source) == sha256(copy)


@test
def a_read_only_disk_refuses_qemu_img_and_stays_as_it_was(lab):
    d = lab.start()
    source = file_system(lab)
    before = sha256(source)
    url = d.export(source, params="readonly=1")
    lab.run("qemu-img", "convert", "-f", "raw", "-O", "raw", url, "copy.img")
    assert sha256(lab.path("copy.img")) == before
    done = lab.run("qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", source, url, status=None)
    assert done.returncode != 0, "a write to a read-only disk was accepted"
    assert sha256(source) == before


main()
