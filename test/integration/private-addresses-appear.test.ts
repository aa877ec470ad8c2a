/** Addresses of tenants that come and go on the machine itself, in a network of the test's own, with real processes. */
import { rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { t as root, type Test, test } from 'tap'
import { AMT } from '../support/amt.ts'
import { NetworkNamespace, WITHOUT_NAMESPACES } from '../support/network-namespace.ts'
import type { Program } from '../support/program.ts'
import {
  FIT_FOR_TESTS,
  MIXER,
  type ReadyLine,
  readUntil,
  readyLine,
} from '../support/running-amt.ts'

// Whole programs on a machine that may be busy.
root.setTimeout(120_000)

/** Answers with its name on the port given. */
const SERVER = `
const [, name, port] = process.argv
require('node:http').createServer((_, res) => res.end(name)).listen(Number(port), '127.0.0.1', () => console.log('up'))`

const tenantOf = (id: string, port: number, address: string): object => ({
  id,
  address,
  deployment: { endpoints: [`http://127.0.0.1:${port}`] },
})

const textOf = (tenants: readonly object[]): string =>
  tenants.map(each => JSON.stringify(each)).join('\n')
const isReload = (line: string): boolean => line.includes('configuration reloaded')

interface Site {
  readonly network: NetworkNamespace
  readonly proxy: Program
  readonly ready: ReadyLine
  ask(address: string, port?: number): Promise<string>
  /** Other tenants; resolves when they are in force. */
  replace(tenants: readonly object[]): Promise<void>
}

async function start(
  t: Test,
  network: NetworkNamespace,
  tenants: readonly object[],
): Promise<Site> {
  const folder = t.testdir({ 'tenants.jsonl': textOf(tenants) })
  const sources = join(folder, 'tenants.jsonl')
  for (const [name, port] of [
    ['acme', 9101],
    ['globex', 9102],
    ['initech', 9103],
  ] as const) {
    const server = network.program(t, process.execPath, '-e', SERVER, name, String(port))
    await server.line(/^up$/)
  }
  const file = join(folder, 'amt.yaml')
  const mixer = { ...MIXER, url: 'http://127.0.0.1:9' }
  const settings = {
    ...FIT_FOR_TESTS,
    mixer,
    listeners: LISTENERS,
    tenantSources: [{ file: sources }],
  }
  await writeFile(file, JSON.stringify(settings))
  const proxy = network.program(t, AMT, 'proxy', '--config', file)
  const ready = await readyLine(proxy)
  const curl = async (url: string): Promise<string> => {
    const args = ['--disable', '--silent', '--noproxy', '*', '--max-time', '10', url]
    const { code, stdout } = await network.run('curl', ...args)
    return code === 0 ? stdout.toString() : `curl ${code}`
  }
  return {
    network,
    proxy,
    ready,
    ask: (address, port = 7070) =>
      curl(`http://${address.includes(':') ? `[${address}]` : address}:${port}/`),
    replace: async next => {
      const reloads = proxy.lines.filter(isReload).length
      await writeFile(`${sources}.new`, textOf(next))
      await rename(`${sources}.new`, sources)
      await readUntil(
        () => Promise.resolve(proxy.lines.filter(isReload).length),
        count => count > reloads,
      )
    },
  }
}

const LISTENERS = [
  { name: 'each', mode: 'private', port: 7070, protocol: 'http' },
  { name: 'wildcard', mode: 'private', port: 7071, bind: 'wildcard', protocol: 'http' },
]

await test('an address that this machine does not have', { skip: WITHOUT_NAMESPACES }, async t => {
  const network = await NetworkNamespace.create(t)
  await network.ip('addr', 'add', '10.77.0.2/32', 'dev', 'lo')
  await network.ip('addr', 'add', 'fd00:77::1/128', 'dev', 'lo')
  const site = await start(t, network, [
    tenantOf('acme', 9101, '10.77.0.1'),
    tenantOf('globex', 9102, '10.77.0.2'),
    tenantOf('initech', 9103, 'fd00:77::1'),
  ])

  await t.test('is an error that names the tenant, and the others serve', async t => {
    const line = await site.proxy.line(/does not have the address of a tenant/)
    t.match(JSON.parse(line), {
      level: 'error',
      listener: 'each',
      addresses: ['10.77.0.1 of the tenant acme'],
    })
    for (const port of [7070, 7071]) {
      t.equal(await site.ask('10.77.0.2', port), 'globex')
      t.equal(await site.ask('fd00:77::1', port), 'initech', 'of IPv6, too')
    }
  })

  await t.test('is listened at as soon as it appears', async t => {
    await network.ip('addr', 'add', '10.77.0.1/32', 'dev', 'lo')
    await site.proxy.line(/"address":"10\.77\.0\.1".*has appeared/)
    t.equal(await site.ask('10.77.0.1'), 'acme')
    t.equal(await site.ask('10.77.0.1', 7071), 'acme', 'wildcard has it anyway')
  })

  await t.test('and one of nobody is refused at once by the wildcard', async t => {
    await network.ip('addr', 'add', '10.77.0.9/32', 'dev', 'lo')
    t.equal(await site.ask('10.77.0.9'), 'curl 7', 'nobody listens there')
    t.match(await site.ask('10.77.0.9', 7071), /^curl (52|56)$/, 'closed without a word')
  })

  await t.test('one that goes away later is told, and that it is there again', async t => {
    await network.ip('addr', 'del', '10.77.0.2/32', 'dev', 'lo')
    const gone = await site.proxy.line(/"10\.77\.0\.2".*does not have the address of a listener/)
    t.match(JSON.parse(gone), { level: 'error', listener: 'each', count: 1 })
    await network.ip('addr', 'add', '10.77.0.2/32', 'dev', 'lo')
    await site.proxy.line(/"10\.77\.0\.2".*is there again/)
    t.equal(await site.ask('10.77.0.2'), 'globex')
  })

  t.equal(await site.proxy.stop(), 0)
})

await test('thousands of IPv6 addresses, and one that moves', {
  skip: WITHOUT_NAMESPACES,
}, async t => {
  const network = await NetworkNamespace.create(t)
  const COUNT = 2_000
  const addressOf = (index: number): string => `fd00:88::${(index + 1).toString(16)}`
  const tenantsAt = (first: number, second: number): object[] =>
    Array.from({ length: COUNT }, (_, index) => {
      const at = index === 0 ? first : index === 1 ? second : index
      return tenantOf(`t${index}`, 9101 + (index % 2), addressOf(at))
    })
  const commands = Array.from(
    { length: COUNT + 6 },
    (_, index) => `addr add ${addressOf(index)}/128 dev lo nodad`,
  )
  const batch = join(t.testdir({}), 'addresses')
  await writeFile(batch, commands.join('\n'))
  await network.ip('-6', '-batch', batch)
  const site = await start(t, network, tenantsAt(0, 1))
  t.equal((site.ready.bound as unknown[]).length, COUNT + 1)
  for (const index of [0, 1, 999, COUNT - 1])
    for (const port of [7070, 7071])
      t.equal(await site.ask(addressOf(index), port), index % 2 === 0 ? 'acme' : 'globex')
  // The first two swap theirs, and the first gets a new one then.
  await site.replace(tenantsAt(1, 0))
  t.equal(await site.ask(addressOf(0)), 'globex')
  t.equal(await site.ask(addressOf(1)), 'acme')
  await site.replace(tenantsAt(COUNT + 5, 0))
  t.equal(await site.ask(addressOf(COUNT + 5)), 'acme', 'a new address accepts')
  t.equal(await site.ask(addressOf(1)), 'curl 7', 'a removed one does not')
  await site.replace(tenantsAt(0, 1))
  t.equal(await site.ask(addressOf(1)), 'globex', 'until it comes back')
  t.equal(await site.proxy.stop(), 0)
})
