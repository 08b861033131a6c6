import {
  connectedNodes,
  diskDirectories,
  diskNodes,
  disconnectedNodes,
  dom0Nodes,
  guestNodes,
  type DiskSpec,
  type Toolstack,
} from '../../lib/simulator/toolstack';

function tree(toolstack: Toolstack, disk: DiskSpec, connected = false): Record<string, string> {
  const nodes = diskNodes(toolstack, 1, disk);
  return Object.fromEntries(connected ? [...nodes, ...connectedNodes(1, disk)] : nodes);
}

// recorded in a real dom0 (Xen 4.17, libvirt 9): disk xvdb1 of domain 1, logical sectors of 512 bytes,
// physical ones of 4096
const RECORDED = `
/local/domain/1/device/vbd/51729 backend=/local/domain/0/backend/vbd/1/51729 backend-id=0
  device-type=disk event-channel=* feature-persistent=1 protocol=x86_64-abi ring-ref=* state=4
  trusted=1 virtual-device=51729
/local/domain/0/backend/vbd/1/51729 bootable=1 dev=xvdb1 device-type=disk discard-alignment=0
  discard-enable=1 discard-granularity=512 discard-secure=0 feature-barrier=1 feature-discard=1
  feature-flush-cache=1 feature-max-indirect-segments=256 feature-persistent=1
  frontend=/local/domain/1/device/vbd/51729 frontend-id=1 hotplug-status=connected info=0
  max-ring-page-order=4 mode=w multi-queue-max-queues=1 online=1 params=/dev/vdb
  physical-device=fe:10 physical-device-path=/dev/vdb physical-sector-size=4096 removable=1
  script=/etc/xen/scripts/block sector-size=512 sectors=524288 specification=xen state=4 type=phy`;

function recorded(): Record<string, string> {
  const nodes: Record<string, string> = {};
  let directory = '';
  for (const word of RECORDED.trim().split(/\s+/)) {
    const [name = '', value] = word.split('=');
    if (value === undefined) directory = name;
    else nodes[`${directory}/${name}`] = value;
  }
  return nodes;
}

test('a connected phy disk of xl has exactly the nodes of a real one', () => {
  const disk = { name: 'xvdb1', source: '/dev/vdb', sectors: 524288, physicalSectorSize: 4096 };
  const nodes = Object.entries(tree('xl', disk, true))
    .filter(([path]) => !path.startsWith('/libxl/'))
    .map(([path, value]) => [path, /(event-channel|ring-ref)$/.test(path) ? '*' : value] as const);
  expect(Object.fromEntries(nodes)).toEqual(recorded());
});

test('before the frontend connects, the backend waits and has no size', () => {
  const nodes = tree('xl', { name: 'xvda', source: '/dev/vg/a' });
  const backend = '/local/domain/0/backend/vbd/1/51712';
  expect(nodes[`${backend}/state`]).toBe('2');
  for (const name of [
    'sectors',
    'sector-size',
    'physical-sector-size',
    'info',
    'feature-discard',
  ]) {
    expect(nodes).not.toHaveProperty([`${backend}/${name}`]);
  }
});

test('libxl has a copy of the first nodes, XAPI has none', () => {
  const disk = { name: 'xvda', source: '/dev/vg/a' };
  expect(tree('xl', disk)).toMatchObject({
    '/libxl/1/device/vbd/51712/backend': '/local/domain/0/backend/vbd/1/51712',
    '/libxl/1/device/vbd/51712/frontend': '/local/domain/1/device/vbd/51712',
    '/libxl/1/device/vbd/51712/params': '/dev/vg/a',
    '/libxl/1/device/vbd/51712/state': '1',
  });
  expect(Object.keys(tree('xapi', disk)).filter((path) => path.startsWith('/libxl'))).toEqual([]);
});

test('XAPI writes the VDI, and the device type only to the frontend', () => {
  const vdi = '0f2e4a1c-93a5-4f0e-8d0b-6a1d7b1b9a11';
  const nodes = tree('xapi', {
    name: 'xvda',
    source: `/dev/sm/backend/some-sr/${vdi}`,
    kind: 'vbd3',
  });
  const backend = '/local/domain/0/backend/vbd3/1/51712';
  expect(nodes[`${backend}/sm-data/vdi-uuid`]).toBe(vdi);
  expect(nodes[`${backend}/params`]).toBe(`/dev/sm/backend/some-sr/${vdi}`);
  expect(nodes).not.toHaveProperty([`${backend}/device-type`]);
  expect(nodes['/local/domain/1/device/vbd/51712/device-type']).toBe('disk');
});

test.each<[DiskSpec['kind'], string | undefined, string, Record<string, string>]>([
  ['vbd', 'raw', 'phy', { params: '/x' }],
  ['qdisk', 'raw', 'qdisk', { params: 'aio:/x' }],
  ['qdisk', 'qcow2', 'qdisk', { params: 'qcow2:/x' }],
  ['vbd3', 'vhd', 'vbd3', { params: '/x', 'tapdisk-params': 'vhd:/x' }],
  ['tap', 'vhd', 'tap', { 'tapdisk-params': 'vhd:/x' }],
  ['virtio_disk', 'raw', 'standalone', { params: '/x', state: '1' }],
])('%s with %s: type %s', (kind = 'vbd', format = 'raw', type, expected) => {
  const nodes = tree('xl', { name: 'xvda', source: '/x', kind, format }, true);
  for (const [name, value] of Object.entries({ type, ...expected })) {
    expect(nodes[`/local/domain/0/backend/${kind}/1/51712/${name}`]).toBe(value);
  }
});

test('an empty drive is a read-only CD-ROM drive', () => {
  expect(tree('xl', { name: 'hdc', kind: 'qdisk' })).toMatchObject({
    '/local/domain/0/backend/qdisk/1/5632/params': 'aio:',
    '/local/domain/0/backend/qdisk/1/5632/device-type': 'cdrom',
    '/local/domain/0/backend/qdisk/1/5632/mode': 'r',
    '/libxl/1/device/vbd/5632/backend': '/local/domain/0/backend/qdisk/1/5632',
  });
});

test('a virtio disk has directories of its own, and its backend can be in a driver domain', () => {
  expect(diskDirectories('xl', 3, { name: 'xvda', kind: 'virtio_disk', backendDomid: 5 })).toEqual([
    '/local/domain/3/device/virtio_disk/51712',
    '/local/domain/5/backend/virtio_disk/3/51712',
    '/libxl/3/device/virtio_disk/51712',
  ]);
});

test('qdisk has the size in sectors of the disk, vbd in sectors of 512 bytes', () => {
  const sectorsOf = (kind: 'vbd' | 'qdisk') =>
    tree('xl', { name: 'xvda', source: '/x', kind, sectors: 800, sectorSize: 4096 }, true)[
      `/local/domain/0/backend/${kind}/1/51712/sectors`
    ];
  expect(sectorsOf('vbd')).toBe('800');
  expect(sectorsOf('qdisk')).toBe('100');
});

test('a disconnected disk is closed on both sides', () => {
  expect(disconnectedNodes(1, { name: 'xvda', source: '/x' })).toEqual([
    ['/local/domain/1/device/vbd/51712/state', '6'],
    ['/local/domain/0/backend/vbd/1/51712/state', '6'],
  ]);
});

test('the nodes of a guest and of dom0', () => {
  expect(Object.fromEntries(guestNodes('xl', { domid: 1, name: 'web1', uuid: 'u' }))).toEqual({
    '/local/domain/1/vm': '/vm/u',
    '/local/domain/1/name': 'web1',
    '/local/domain/1/domid': '1',
    '/vm/u/uuid': 'u',
    '/vm/u/name': 'web1',
    '/libxl/1/type': 'pv',
  });
  expect(Object.fromEntries(dom0Nodes('xl'))).toEqual({
    '/local/domain/0/domid': '0',
    '/local/domain/0/name': 'Domain-0',
  });
});
