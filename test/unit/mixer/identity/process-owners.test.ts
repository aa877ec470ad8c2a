import { test } from 'tap'
import { endpointSockets, ProcessOwners } from '../../../../src/mixer/identity/process-owners.ts'
import { ProcessTree } from '../../../../src/mixer/identity/process-tree.ts'
import type { ListeningSocket } from '../../../../src/mixer/identity/tcp-table.ts'
import { DeploymentIndex } from '../../../../src/mixer/registry/deployment-index.ts'
import { tenant } from '../../../support/registry/registrations.ts'

const HERE = ['10.0.0.5']

function index(endpoints: Readonly<Record<string, string>>): DeploymentIndex {
  return new DeploymentIndex(
    new Map(
      Object.entries(endpoints).map(([id, endpoint]) => [
        id,
        { ...tenant(id, { endpoints: [endpoint] }), service: 'notes' },
      ]),
    ),
  )
}

function listening(address: string, port: number): ListeningSocket {
  return { address, port, inode: `${address}:${port}` }
}

function tenantsOf(
  sockets: readonly ListeningSocket[],
  endpoints: Readonly<Record<string, string>>,
): Record<string, readonly string[]> {
  const found = endpointSockets(sockets, index(endpoints), HERE)
  return Object.fromEntries([...found].map(([{ inode }, tenants]) => [inode, tenants]))
}

await test('a socket is an endpoint by its address, and by all addresses where there is no nearer one', t => {
  const exact = listening('127.0.0.1', 9101)
  const ipv4 = listening('0.0.0.0', 9101)
  const all = listening('::', 9101)
  const acme = { acme: 'http://127.0.0.1:9101' }
  t.same(tenantsOf([exact, ipv4, all], acme), { [exact.inode]: ['acme'] })
  t.same(tenantsOf([ipv4, all], acme), { [ipv4.inode]: ['acme'] })
  t.same(tenantsOf([all], acme), { [all.inode]: ['acme'] })
  t.same(tenantsOf([listening('127.0.0.2', 9101)], acme), {})
  t.same(tenantsOf([listening('127.0.0.1', 9102)], acme), {})
  t.same(tenantsOf([ipv4], { acme: 'http://[::1]:9101' }), {}, 'IPv4 alone serves no IPv6')
  t.same(tenantsOf([all], { acme: 'http://[::1]:9101' }), { [all.inode]: ['acme'] })
  t.same(tenantsOf([exact], { acme: 'http://localhost:9101' }), { [exact.inode]: ['acme'] })
  t.end()
})

await test('an endpoint at an address of this machine is one here, one elsewhere is not', t => {
  const all = listening('0.0.0.0', 80)
  t.same(tenantsOf([all], { acme: 'http://10.0.0.5:80', beta: 'http://10.0.0.6:80' }), {
    [all.inode]: ['acme'],
  })
  t.same(tenantsOf([all], { acme: 'http://10.0.0.5:80', beta: 'http://127.0.0.1:80' }), {
    [all.inode]: ['beta', 'acme'],
  })
  t.end()
})

/** pid → parent; all started in the order of their numbers. */
function tree(
  parents: Readonly<Record<number, number>>,
  groups: Readonly<Record<number, number>> = {},
): ProcessTree {
  return new ProcessTree(
    new Map(
      Object.entries(parents).map(([pid, parent]) => [
        Number(pid),
        { parent, startedAt: Number(pid), group: groups[Number(pid)] ?? 1 },
      ]),
    ),
  )
}

// 1 ─ 10 (a supervisor) ─ 20 (acme listens) ─ 21 ─ 22
//                       └ 30 (beta's start script) ─ 31 (beta listens)
// 1 ─ 40 (a stranger)
// 1 ─ 50 (a supervisor of one group a child) ─ 51 (gamma listens)
const PARENTS = { 1: 0, 10: 1, 20: 10, 21: 20, 22: 21, 30: 10, 31: 30, 40: 1, 50: 1, 51: 50 }
const TREE = tree(PARENTS, { 22: 22, 51: 51 })
const ACME = listening('127.0.0.1', 9101)
const BETA = listening('127.0.0.1', 9102)
const GAMMA = listening('127.0.0.1', 9103)

function ownersOf(holders: readonly number[], more: Readonly<Record<string, number[]>> = {}) {
  const view = {
    tree: TREE,
    holders: new Map(
      Object.entries({
        [ACME.inode]: [20],
        [BETA.inode]: [31],
        [GAMMA.inode]: [51],
        call: [...holders],
        ...more,
      }),
    ),
  }
  const sockets = new Map([
    [ACME, ['acme']],
    [BETA, ['beta']],
    [GAMMA, ['gamma']],
  ])
  return new ProcessOwners(view, sockets).ofConnection('call')
}

await test('a process is of the deployment that it listens for, comes from, or has started', t => {
  t.same(ownersOf([20]), ['acme'])
  t.same(ownersOf([22]), ['acme'], 'a grandchild, also in a group of its own')
  t.same(ownersOf([30]), ['beta'], 'a start script')
  t.same(ownersOf([10]), ['beta', 'acme'].toSorted(), 'a supervisor of both')
  t.same(ownersOf([40]), [], 'a stranger')
  t.same(ownersOf([51]), ['gamma'])
  t.same(ownersOf([50]), [], 'a supervisor that starts it in a group of its own')
  t.equal(ownersOf([]), 'not_found')
  t.end()
})

await test('the first process of the machine makes nobody related', t => {
  t.same(ownersOf([40], { [ACME.inode]: [1] }), [], 'it may hold sockets for others')
  t.same(ownersOf([1]), [], 'and starts all of them')
  t.end()
})

await test('processes that hold one connection must lead to the same deployment', t => {
  t.same(ownersOf([20, 22]), ['acme'])
  t.equal(ownersOf([20, 31]), 'ambiguous')
  t.equal(ownersOf([20, 40]), 'ambiguous')
  t.same(ownersOf([40, 40]), [])
  t.end()
})

await test('a parent that started later is another process', t => {
  const reused = new ProcessTree(
    new Map([
      [20, { parent: 1, startedAt: 500, group: 1 }],
      [21, { parent: 20, startedAt: 100, group: 1 }],
    ]),
  )
  t.same(reused.lineOf(21), [21])
  const loop = new ProcessTree(
    new Map([
      [20, { parent: 21, startedAt: 1, group: 1 }],
      [21, { parent: 20, startedAt: 1, group: 1 }],
    ]),
  )
  t.ok(loop.lineOf(20).length <= 256, 'a table that is wrong has an end')
  t.same(loop.lineOf(99), [99])
  t.end()
})
