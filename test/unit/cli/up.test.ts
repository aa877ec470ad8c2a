import { execFileSync } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'tap'
import {
  addressOf,
  formatAddress,
  type WantedAddress,
  wantedAddresses,
} from '../../../src/cli/up/addresses.ts'
import { readOutline } from '../../../src/cli/up/outline.ts'
import { planParts } from '../../../src/cli/up/parts.ts'
import { shellWord, shownPath, tryOuts } from '../../../src/cli/up/try-out.ts'
import { type Config, configSchema } from '../../../src/config/schema.ts'

function config(more: Record<string, unknown> = {}): Config {
  return configSchema.parse({
    listeners: [
      { name: 'public', mode: 'shared', address: '0.0.0.0:8443' },
      { name: 'private', mode: 'private', port: 7070 },
    ],
    mixer: { token: '0123456789abcdef' },
    tenants: [
      { id: 'acme', address: '127.0.1.1', deployment: { endpoints: ['http://127.0.0.1:9101'] } },
      { id: 'far', deployment: { endpoints: ['http://10.0.0.7:8080'] } },
      { id: 'raw', address: '::1', deployment: { endpoints: ['tcp://127.0.0.1:9103'] } },
    ],
    ...more,
  })
}

await test('all addresses are known before anything starts', async t => {
  const show = ({ what, host, port }: WantedAddress): string =>
    `${what} ${formatAddress({ host, port })}`
  t.same(wantedAddresses(config(), []).map(show), [
    'listener "public" 0.0.0.0:8443',
    'listener "private" of tenant acme 127.0.1.1:7070',
    'listener "private" of tenant raw [::1]:7070',
    'admin server 127.0.0.1:9901',
    'mixer 127.0.0.1:9092',
  ])
  t.same(addressOf('x', '[::1]:80'), { what: 'x', host: '::1', port: 80 })
  t.same(addressOf('x', 'localhost:0'), { what: 'x', host: 'localhost', port: 0 })
})

await test('samples run for tenants whose deployment is plain HTTP on this machine, and only if asked for', async t => {
  const common = { config: config(), configPath: '/etc/amt.yaml', stateDir: '/var/lib/amt' }
  const parts = planParts({ ...common, samples: true, workers: 3 })
  t.same(
    parts.deployments.map(({ name }) => name),
    ['notes-acme'],
  )
  t.match(parts.deployments[0]?.env, { PORT: '9101', DATA_DIR: '/var/lib/amt/notes/acme' })
  t.same(parts.proxy.args.slice(-5), ['proxy', '--config', '/etc/amt.yaml', '--workers', '3'])
  t.equal(parts.proxy.env.AMT_STATE, '/var/lib/amt')
  t.same(planParts({ ...common, samples: false }).deployments, [])
})

await test('what is tried out is what the configuration has', async t => {
  const dir = t.testdir({ 'acme.apikey': '' })
  const list = (more: Record<string, unknown> = {}): string[] =>
    tryOuts({ config: config(more), stateDir: dir, cwd: dir, plainStart: false }).map(
      ({ title, command }) => `${title.split(':')[0]} ${command.replace(/ \S*bin\/amt/, ' amt')}`,
    )
  t.same(list(), [
    `JWT curl -sS -H "authorization: Bearer $(cat acme.jwt)" -d 'text=Hello from acme' http://127.0.0.1:8443/notes`,
    'API key curl -sS -H "x-api-key: $(cat acme.apikey)" http://127.0.0.1:8443/notes',
    'private address curl -sS http://127.0.1.1:7070/notes',
    'unroutable curl -sS -i http://127.0.0.1:8443/notes',
    'usage AMT_MIXER_URL=http://127.0.0.1:9092 AMT_MIXER_TOKEN=$(cat mixer.token) amt usage',
  ])
  const tls = {
    certificates: [{ cert: 'c', key: 'k' }],
    clientCertificate: 'optional',
    clientCa: 'ca',
  }
  const mtls = list({ listeners: [{ name: 'p', mode: 'shared', address: '[::]:1', tls }] })
  t.same(
    mtls[2],
    'client certificate curl -sS --cacert ca.crt --cert acme.crt --key acme.key https://[::1]:1/notes',
  )
  t.equal(list({ tenants: [] }).length, 1, 'without a tenant that has keys: usage alone')
})

await test('a word of the shell is what the shell takes it for', async t => {
  for (const text of ['state/ca.crt', 'my state', "it's", '$HOME', '`id`', 'a"b', 'ä\\', '*', '']) {
    t.equal(execFileSync('sh', ['-c', `printf %s ${shellWord(text)}`]).toString(), text)
  }
})

await test('paths are shown relative inside the current directory, and absolute elsewhere', async t => {
  t.equal(shownPath('/home/me', '/home/me/state/ca.crt'), 'state/ca.crt')
  t.equal(shownPath('/home/me', '/home/you/state'), '/home/you/state')
  t.equal(shownPath('/home/me', '/home/me'), '/home/me')
})

await test('the outline of a configuration takes what it can read', async t => {
  const dir = t.testdir()
  const file = join(dir, 'amt.yaml')
  const outline = async (text: string): ReturnType<typeof readOutline> => {
    await writeFile(file, text)
    return readOutline(file)
  }
  t.same(
    await outline(
      '{ tenants: [{ id: a, hosts: [a.test] }, { id: b }], authentication: { spiffe: { trustDomain: x.test } } }',
    ),
    { tenants: ['a', 'b'], hosts: ['a.test'], trustDomain: 'x.test' },
  )
  const nothing = { tenants: [], hosts: [], trustDomain: 'example.org' }
  for (const text of [
    '',
    'null',
    '[1',
    'tenants: { a: 1 }',
    'tenants: [{ id: ../../etc }]',
    'just text',
  ]) {
    t.same(await outline(text), nothing, text)
  }
  t.same(await readOutline(join(dir, 'missing')), nothing)
})
