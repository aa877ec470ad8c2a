import { test } from 'tap'
import { formatProblem, loadConfig } from '../../../src/config/load.ts'
import { redactConfig } from '../../../src/config/redact.ts'
import type { Config } from '../../../src/config/schema.ts'

const MINIMAL = `listeners: [{ name: a, mode: shared, address: 127.0.0.1:0 }]
mixer: { token: 0123456789abcdef-token }
`

function loadValid(file: string, env: Record<string, string> = {}): Config {
  const result = loadConfig(file, { env })
  if ('config' in result) return result.config
  throw new Error(result.problems.map(formatProblem).join('\n'))
}

await test('a small configuration gets every default, as plain numbers', async t => {
  const directory = t.testdir({ 'amt.yaml': MINIMAL })
  const config = loadValid(`${directory}/amt.yaml`)
  t.match(config, {
    service: { name: 'amt', operations: [] },
    listeners: [{ protocol: 'auto', proxyProtocol: 'off' }],
    authentication: { jwt: [], apiKey: { header: 'x-api-key' }, forwardCredentials: false },
    trustedProxies: [],
    tenants: [],
    limits: { concurrency: 1_000, connections: 10_000 },
    timeouts: { detect: 500, header: 10_000, idle: 300_000 },
    mixer: { url: 'http://127.0.0.1:9092', journal: `${directory}/data/journal` },
    ledger: `sqlite:${directory}/data/ledger.db`,
    admin: { address: '127.0.0.1:9901' },
    log: { level: 'info', access: 'stdout' },
    metrics: { tenants: 200 },
    workers: 'auto',
  })
})

await test('paths become absolute, starting at the file', async t => {
  const directory = t.testdir({
    'amt.yaml': `listeners:
  - name: a
    mode: shared
    address: 127.0.0.1:0
    tls: { certificates: [{ cert: c, key: certs/k }], clientCertificate: optional, clientCa: ./c }
authentication:
  jwt:
    - { issuer: a, audiences: [x], jwks: c }
    - { issuer: b, audiences: [x], jwks: https://b.example/jwks }
tenants:
  - id: a
    deployment: { endpoints: [https://h:1], tls: { ca: c, cert: c, key: certs/k } }
tenantSources: [{ directory: certs }]
mixer: { token: 0123456789abcdef-token, journal: j }
ledger: sqlite:l.db
log: { access: access.log }
`,
    c: '',
    certs: { k: '' },
  })
  const at = (name: string): string => `${directory}/${name}`
  t.match(loadValid(at('amt.yaml')), {
    listeners: [
      { tls: { certificates: [{ cert: at('c'), key: at('certs/k') }], clientCa: [at('c')] } },
    ],
    authentication: { jwt: [{ jwks: at('c') }, { jwks: 'https://b.example/jwks' }] },
    tenants: [{ deployment: { tls: { ca: at('c'), cert: at('c'), key: at('certs/k') } } }],
    tenantSources: [{ directory: at('certs') }],
    mixer: { journal: at('j') },
    ledger: `sqlite:${at('l.db')}`,
    log: { access: at('access.log') },
  })
})

await test('a replaced value becomes a number or boolean only where it is not quoted and not from a file', async t => {
  const directory = t.testdir({
    'amt.yaml': `listeners: [{ name: a, mode: private, port: $\{PORT} }]
service: { name: "$\{PORT}" }
authentication: { forwardCredentials: $\{FLAG} }
mixer: { token: $\{file:token} }
workers: $\{WORKERS:-3}
`,
    token: '1234567890123456\n',
  })
  t.match(loadValid(`${directory}/amt.yaml`, { PORT: '7000', FLAG: 'true' }), {
    listeners: [{ port: 7000 }],
    service: { name: '7000' },
    authentication: { forwardCredentials: true },
    mixer: { token: '1234567890123456' },
    workers: 3,
  })
})

await test('anchors and aliases work, without unfolding to gigabytes', async t => {
  const levels = Array.from({ length: 12 }, (_, level) => {
    const before = level === 0 ? 'x' : `*a${level - 1}`
    return `a${level}: &a${level} [${Array.from({ length: 10 }, () => before).join(', ')}]`
  })
  const directory = t.testdir({
    'amt.yaml': `${MINIMAL}limits: { ingress: &rate 1MiB/s, egress: *rate }\n`,
    'bomb.yaml': levels.join('\n'),
  })
  t.match(loadValid(`${directory}/amt.yaml`).limits, { ingress: 1024 ** 2, egress: 1024 ** 2 })
  const bomb = loadConfig(`${directory}/bomb.yaml`, { env: {} })
  const messages = 'problems' in bomb ? bomb.problems.map(problem => problem.message) : []
  t.ok(messages.includes('aliases unfold to more than 100000 values'))
})

await test('a file that cannot be read is one problem', async t => {
  const directory = t.testdir({
    'large.yaml': `${MINIMAL}#${'x'.repeat(1024 * 1024)}`,
    'deep.yaml': `a: ${'['.repeat(100)}${']'.repeat(100)}`,
    'latin1.yaml': Buffer.from([0x61, 0x3a, 0x20, 0xe4]),
  })
  const deep = loadConfig(`${directory}/deep.yaml`, { env: {} })
  const messages = 'problems' in deep ? deep.problems.map(problem => problem.message) : []
  t.ok(messages.includes('is nested too deeply, at most 64 levels'))
  const first = (name: string): string | undefined => {
    const result = loadConfig(`${directory}/${name}`, { env: {} })
    const problem = 'problems' in result ? result.problems[0] : undefined
    return problem && formatProblem(problem).replaceAll(`${directory}/`, '')
  }
  t.equal(first('none.yaml'), 'none.yaml:1:1: the file does not exist')
  t.equal(first(''), ':1:1: the file is a directory, must be a file')
  t.equal(first('large.yaml'), 'large.yaml:1:1: the file is larger than 1048576 bytes')
  t.equal(first('latin1.yaml'), 'latin1.yaml:1:1: the file is not valid UTF-8')
})

await test('a loaded configuration cannot be changed', async t => {
  const directory = t.testdir({
    'amt.yaml': `${MINIMAL}tenants: [{ id: a, deployment: { endpoints: [http://h:1] } }]\n`,
  })
  const config = loadValid(`${directory}/amt.yaml`)
  const parts = [config, config.timeouts, config.listeners, config.listeners[0], config.tenants]
  for (const part of [...parts, config.tenants[0]?.deployment.endpoints])
    t.ok(Object.isFrozen(part))
})

await test('the configuration for the admin server holds no secret', async t => {
  const directory = t.testdir({
    'amt.yaml': `listeners: [{ name: a, mode: shared, address: 127.0.0.1:0 }]
mixer: { token: s3cret-0123456789, url: "http://user:s3cret@127.0.0.1:9092" }
authentication: { jwt: [{ issuer: i, audiences: [x], jwks: "https://user:s3cret@i.example/jwks" }] }
tenants:
  - id: acme
    deployment: { endpoints: [http://127.0.0.1:1] }
    jwt: [{ issuer: a, audiences: [x], jwks: "https://user:s3cret@acme.example/jwks" }]
tracing: { otlp: "http://127.0.0.1:4318/?password=s3cret", headers: { authorization: Bearer s3cret } }
`,
  })
  const config = loadValid(`${directory}/amt.yaml`)
  const ledger = 'postgres://user:s3cret@host/db?password=s3cret&x=y'
  const redacted = redactConfig({ ...config, ledger })
  t.notMatch(JSON.stringify(redacted), 's3cret')
  t.equal(redacted.mixer.token, '[redacted]')
  t.same(redacted.tracing?.headers, { authorization: '[redacted]' })
  t.equal(redacted.ledger, 'postgres://user:[redacted]@host/db?password=[redacted]&x=y')
  t.equal(redacted.mixer.url, 'http://user:[redacted]@127.0.0.1:9092')
  t.same(redactConfig(config).listeners, config.listeners)
  t.equal(redacted.tenants[0]?.jwt[0]?.jwks, 'https://user:[redacted]@acme.example/jwks')
  t.equal(config.mixer.token, 's3cret-0123456789', 'the original is as it was')
})
