/** Mistakes in a configuration and the exact lines that a person gets to read. */
import { test } from 'tap'
import { formatProblem, loadConfig } from '../../../src/config/load.ts'

const BASE = `listeners: [{ name: a, mode: private, port: 7000 }]
mixer: { token: 0123456789abcdef-token }
`

interface Case {
  readonly name: string
  /** Added to BASE, so that its first line is line 3; or instead of it. */
  readonly more?: string
  readonly whole?: string
  readonly env?: Record<string, string>
  readonly expected: readonly string[]
}

const CASES: readonly Case[] = [
  {
    name: 'an empty file',
    whole: '',
    expected: ['1:1: is empty; it must be a map of keys'],
  },
  {
    name: 'a list instead of a map',
    whole: '- a\n',
    expected: ['1:1: must be a map of keys, not a list'],
  },
  {
    name: 'a map without anything',
    whole: '{}\n',
    expected: [
      '1:1: listeners: is missing; it must be a list (Where traffic comes in)',
      '1:1: mixer: is missing; it must be a map of keys (The mixer: where usage goes)',
    ],
  },
  {
    name: 'all syntax errors of a file',
    whole: 'a: [1\nb: "x\n',
    expected: [
      '2:1: YAML: flow sequence in block collection must be sufficiently indented and end with a ]',
      '3:1: YAML: missing closing "quote',
    ],
  },
  {
    name: 'two documents in one file',
    more: '---\nworkers: 1\n',
    expected: ['3:1: YAML: source contains multiple documents'],
  },
  {
    name: 'a tag',
    more: 'workers: !!binary aa\n',
    expected: ['3:10: YAML: unresolved tag: tag:yaml.org,2002:binary'],
  },
  {
    name: 'a key that stands twice',
    more: 'workers: 1\nlimits: {}\nworkers: 2\n',
    expected: ['5:1: workers: stands twice, first on line 3; a key may stand once'],
  },
  {
    name: 'a merge key',
    more: 'limits:\n  <<: { burst: 1 }\n',
    expected: ['4:3: limits["<<"]: merge keys are not supported; repeat the keys'],
  },
  {
    name: 'the key __proto__',
    more: '__proto__: { workers: 1 }\n',
    expected: ['3:1: __proto__: is not allowed as a key'],
  },
  {
    name: 'an alias without an anchor, and one inside its own anchor',
    more: 'workers: *none\ntrustedProxies: &self [*self]\n',
    expected: [
      '3:10: workers: no anchor &none stands before',
      '4:24: trustedProxies[0]: no anchor &self stands before',
    ],
  },
  {
    name: 'unknown keys, with the nearest allowed one',
    more: 'timeouts: { hedaer: 1s, zzz: 1s }\nWorkers: 1\nlog: { acess: off }\n',
    expected: [
      '3:13: timeouts.hedaer: is not a key here; did you mean header?; allowed: detect, handshake, header, body, connect, response, idle, probe, call, drain, worker',
      '3:25: timeouts.zzz: is not a key here; allowed: detect, handshake, header, body, connect, response, idle, probe, call, drain, worker',
      '4:1: Workers: is not a key here; did you mean workers?; allowed: service, listeners, authentication, trustedProxies, tenants, tenantSources, limits, sources, quotas, http1, http2, overload, timeouts, drain, minimumRate, mixer, ledger, ledgerRetention, exports, admin, log, metrics, tracing, workers',
      '5:8: log.acess: is not a key here; did you mean access?; allowed: level, access, accessSampling, accessRotation, accessBuffer, accessTokenClaim',
    ],
  },
  {
    name: 'an empty section',
    more: 'limits:\n',
    expected: ['3:8: limits: is empty; it must be a map of keys'],
  },
  {
    name: 'an API key in a field that frames messages',
    more: 'authentication: { apiKey: { header: Transfer-Encoding } }\n',
    expected: [
      '3:37: authentication.apiKey.header: must not be a field that frames messages or belongs to one hop, not "Transfer-Encoding"',
    ],
  },
  {
    name: 'quantities of another form',
    more: 'timeouts: { header: 10 }\nlimits: { requests: 5, ingress: 1MB/s, body: ten, burst: 1.5, concurrency: 0 }\n',
    expected: [
      '3:21: timeouts.header: must be a duration such as 250ms, 5s, 10m or 2h, not "10"',
      '4:21: limits.requests: must be a rate such as 100/s, 6000/m or 50000/h, not "5"',
      '4:33: limits.ingress: must be a bandwidth such as 512KiB/s or 10MiB/s, not "1MB/s"',
      '4:46: limits.body: must be a size such as 512B, 64KiB or 10MiB, not "ten"',
      '4:58: limits.burst: must be a whole number, not "1.5"',
      '4:76: limits.concurrency: must be at least 1, not "0"',
    ],
  },
  {
    name: 'values that are not among the allowed ones',
    more: 'workers: 0\nlog: { level: verbose, access: 3 }\ntrustedProxies: [10.0.0.0/33]\nmetrics: { tenants: -1 }\n',
    expected: [
      '3:10: workers: must be auto or a number from 1 to 256, not "0"',
      '4:15: log.level: must be error, warn, info or debug, not "verbose"',
      '4:32: log.access: must be off, stdout or a path, not "3"',
      '5:18: trustedProxies[0]: must be an IP address or a CIDR block, not "10.0.0.0/33"',
      '6:21: metrics.tenants: must be at least 0, not "-1"',
    ],
  },
  {
    name: 'listeners of the wrong form',
    whole: `listeners:
  - { name: a, mode: shraed, address: 127.0.0.1:1 }
  - { name: b, address: 127.0.0.1:1 }
  - { name: c, mode: shared, adress: 127.0.0.1:1 }
  - { name: d, mode: private, port: 70000, address: 127.0.0.1:1 }
  - public
  - { name: e, mode: private, port: yes }
mixer: { token: 0123456789abcdef-token }
`,
    expected: [
      '2:22: listeners[0].mode: must be shared or private, not "shraed"',
      '3:5: listeners[1].mode: is missing; it must be shared or private',
      '4:5: listeners[2].address: is missing; it must be text (Address and port to listen on)',
      '4:30: listeners[2].adress: is not a key here; did you mean address?; allowed: name, protocol, tls, proxyProtocol, mode, address',
      '5:37: listeners[3].port: must be at most 65535, not "70000"',
      '5:44: listeners[3].address: is not a key here; allowed: name, protocol, tls, proxyProtocol, mode, port, bind',
      '6:5: listeners[4]: must be a map of keys, not "public"',
      '7:37: listeners[5].port: must be a whole number from 0 to 65535, not "yes"',
    ],
  },
  {
    name: 'private links of the wrong form',
    more: `tenants:
  - id: acme
    deployment: { endpoints: [http://127.0.0.1:9101] }
    credentials:
      - privateLink: vpce-1
      - privateLink: { aws: vpc-1 }
      - privateLink: { azure: 4294967296 }
      - privateLink: { gcp: "18446744073709551616" }
      - privateLink: { gcp: -1 }
      - privateLink: { gcp: 1, aws: vpce-1 }
      - privateLink: { aliyun: 1 }
`,
    expected: [
      '7:22: tenants[0].credentials[0].privateLink: must be a map with one of the keys aws, azure, gcp, not "vpce-1"',
      '8:29: tenants[0].credentials[1].privateLink.aws: must be the id of a VPC endpoint, such as vpce-0123456789abcdef0, not "vpc-1"',
      '9:31: tenants[0].credentials[2].privateLink.azure: must be a whole number from 0 to 4294967295 (32 bits), not "4294967296"',
      '10:29: tenants[0].credentials[3].privateLink.gcp: must be a whole number from 0 to 18446744073709551615 (64 bits), not "18446744073709551616"',
      '11:29: tenants[0].credentials[4].privateLink.gcp: must be a whole number from 0 to 18446744073709551615 (64 bits), not "-1"',
      '12:22: tenants[0].credentials[5].privateLink: must have exactly one of the keys aws, azure, gcp; it has gcp and aws',
      '13:24: tenants[0].credentials[6].privateLink.aliyun: is not a key here; allowed: aws, azure, gcp',
    ],
  },
  {
    name: 'credentials of the wrong form; a key that was pasted is not repeated',
    more: `tenants:
  - id: acme
    deployment: { endpoints: [http://127.0.0.1:9101] }
    credentials:
      - { spiff: x }
      - { apiKey: amt_acme_secret }
      - { apiKey: x, spiffe: x }
      - apiKey
      - { jwt: { issuer: i } }
      - {}
`,
    expected: [
      '7:11: tenants[0].credentials[0].spiff: is not a key here; did you mean spiffe?; allowed: apiKey, certificate, spiffe, jwt, privateLink',
      '8:19: tenants[0].credentials[1].apiKey: must be "sha256:" and 64 lower-case hexadecimal digits',
      '9:9: tenants[0].credentials[2]: must have exactly one of the keys apiKey, certificate, spiffe, jwt, privateLink; it has apiKey and spiffe',
      '10:9: tenants[0].credentials[3]: must be a map with one of the keys apiKey, certificate, spiffe, jwt, privateLink, not "apiKey"',
      '11:16: tenants[0].credentials[4].jwt.claims: is missing; it must be a map of keys (Claims that must have exactly these values; one that is an array must have them in it)',
      '12:9: tenants[0].credentials[5]: must have exactly one of the keys apiKey, certificate, spiffe, jwt, privateLink; it has none',
    ],
  },
  {
    name: 'tenants of the wrong form',
    more: `tenants:
  - { id: Acme, address: localhost, hosts: [A.example], deployment: { endpoints: [] } }
  - acme
`,
    expected: [
      '4:11: tenants[0].id: must be 1 to 63 of a-z, 0-9 and "-", not "Acme"',
      '4:26: tenants[0].address: must be an IP address, not "localhost"',
      '4:45: tenants[0].hosts[0]: must be a host name in lower case, "*." may stand first: a.example, not "A.example"',
      '4:82: tenants[0].deployment.endpoints: must have at least 1 entry',
      '5:5: tenants[1]: must be a map of keys, not "acme"',
    ],
  },
  {
    name: 'tenants that are no list',
    more: 'tenants: { acme: {} }\n',
    expected: ['3:10: tenants: must be a list, not a map'],
  },
  {
    name: 'what cannot be replaced, without problems that only follow from it',
    more: 'workers: ${NONE}\nledger: sqlite:${file:none}\nlog: { level: "${" }\n',
    expected: [
      '3:10: workers: the environment variable NONE is not set; ${NONE:-default} has a default',
      '4:9: ledger: the file DIR/none does not exist',
      '5:15: log.level: ${ without a closing }; write $${ for the characters themselves',
    ],
  },
  {
    name: 'a replaced value that is not allowed is shown as it stands in the file',
    more: 'log: { level: "${LEVEL}" }\n',
    env: { LEVEL: 'a-secret' },
    expected: ['3:15: log.level: must be error, warn, info or debug, not "${LEVEL}"'],
  },
  {
    name: 'text that would steer a terminal or forge a line of a log',
    more: '"a\\e[2J\\nb": 1\ntenants: [{ id: a, credentials: [{ jwt: { issuer: "a\\nb", claims: {} } }], deployment: { endpoints: [http://h:1] } }]\n',
    expected: [
      '3:1: ["a\\u001b[2J\\nb"]: is not a key here; allowed: service, listeners, authentication, trustedProxies, tenants, tenantSources, limits, sources, quotas, http1, http2, overload, timeouts, drain, minimumRate, mixer, ledger, ledgerRetention, exports, admin, log, metrics, tracing, workers',
      '4:51: tenants[0].credentials[0].jwt.issuer: the issuer a\u{fffd}b is not under authentication.jwt; none is configured',
    ],
  },
  {
    name: 'a token that is too short is not repeated',
    whole: 'listeners: [{ name: a, mode: private, port: 7000 }]\nmixer: { token: s3cret }\n',
    expected: ['2:17: mixer.token: must have at least 16 characters'],
  },
  {
    name: 'schema and rules are both checked',
    more: 'workers: 0\nledger: postgres://user:pass@host/db?sslmode=allow\n',
    expected: [
      '3:10: workers: must be auto or a number from 1 to 256, not "0"',
      '4:9: ledger: sslmode must be one of disable, require, verify-ca, verify-full, no-verify',
    ],
  },
  {
    name: 'tracing with a password in its URL, a field that is none and a queue without end',
    more: 'tracing: { otlp: "http://user:s3cret@collector:4318", headers: { "a b": x }, sampling: 2, queue: 1000000, timeout: 0s }\n',
    expected: [
      '3:18: tracing.otlp: must be an http or https URL without user and password; what opens it goes into headers',
      '3:73: tracing.headers["a b"]: is not valid: Invalid key in record',
      '3:88: tracing.sampling: must be a percentage from 0% to 100%, not "2"',
      '3:98: tracing.queue: must be a number from 256 to 65536, not "1000000"',
      '3:116: tracing.timeout: must be from 100ms to 60s, not "0s"',
    ],
  },
  {
    name: 'usage is kept for a day at least',
    more: 'ledgerRetention: { minutes: 1h, weeks: 3d }\n',
    expected: [
      '3:29: ledgerRetention.minutes: must be at least 1d, or off for ever, not "1h"',
      '3:33: ledgerRetention.weeks: is not a key here; allowed: minutes, hours, days',
    ],
  },
  {
    name: 'a URL of PostgreSQL that is none is not repeated',
    more: 'ledger: postgres://user:pass@host:port/db\n',
    expected: ['3:9: ledger: must be a URL such as postgres://user@host:5432/database'],
  },
]

for (const { name, more, whole, env, expected } of CASES) {
  await test(name, async t => {
    const directory = t.testdir({ 'amt.yaml': whole ?? BASE + (more ?? '') })
    const result = loadConfig(`${directory}/amt.yaml`, { env: env ?? {} })
    const problems = 'problems' in result ? result.problems : []
    const lines = problems.map(problem =>
      formatProblem(problem).replace(`${directory}/amt.yaml:`, '').replaceAll(directory, 'DIR'),
    )
    t.same(lines, expected)
  })
}
