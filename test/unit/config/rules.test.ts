/** What must hold between the values of a configuration: each rule with the lines that its breach prints. */
import { createHash } from 'node:crypto'
import { test } from 'tap'
import { formatProblem, loadConfig } from '../../../src/config/load.ts'

const MIXER = 'mixer: { url: https://mixer.example, token: 0123456789abcdef-token }\n'
const LISTENERS = 'listeners: [{ name: a, mode: shared, address: 127.0.0.1:8080 }]\n'
const DEPLOYMENT = 'deployment: { endpoints: [http://127.0.0.1:9101] }'
const SHA = (text: string): string => `sha256:${createHash('sha256').update(text).digest('hex')}`

interface Case {
  readonly name: string
  /** Follows the line of `mixer`, so that it begins on line 2. */
  readonly yaml: string
  readonly problems?: readonly string[]
  readonly warnings?: readonly string[]
}

const tenants = (...lines: string[]): string =>
  `${LISTENERS}tenants:\n${lines.map(line => `  - { ${line}, ${DEPLOYMENT} }\n`).join('')}`

const AUTHENTICATION = `authentication:
  jwt: [{ issuer: https://i.example, audiences: [x], jwks: https://i.example/jwks, tenantClaim: tid }]
  spiffe: { trustDomain: example.org }
`

const CASES: readonly Case[] = [
  {
    name: 'an admin server that other machines reach needs a token',
    yaml: `${LISTENERS}admin: { address: 0.0.0.0:9901 }\n`,
    problems: [
      '3:19: admin.address: 0.0.0.0:9901 is open to other machines and needs admin.token; allowed without: 127.0.0.1, [::1], localhost or unix:PATH',
    ],
  },
  {
    name: 'an admin server with a name that may lead anywhere needs a token',
    yaml: `${LISTENERS}admin: { address: amt.example:9901 }\n`,
    problems: [
      '3:19: admin.address: amt.example:9901 is open to other machines and needs admin.token; allowed without: 127.0.0.1, [::1], localhost or unix:PATH',
    ],
  },
  {
    name: 'an admin server with a token may listen anywhere',
    yaml: `${LISTENERS}admin: { address: 0.0.0.0:9901, token: sixteen-letters-and-more }\n`,
  },
  {
    name: 'an admin server on loopback or on a unix socket needs no token',
    yaml: `${LISTENERS}admin: { address: 'unix:admin.sock' }\n`,
  },
  {
    name: 'operations have names of their own, which usage records do not use for the rest',
    yaml: `${LISTENERS}service:
  operations:
    - { name: read, match: GET /a }
    - { name: read, match: GET /b }
    - { name: other, match: GET /c }
`,
    problems: [
      '6:15: service.operations[1].name: the name read is also that of service.operations[0].name (FILE:5)',
      '7:15: service.operations[2].name: other is what usage records call the rest, choose another name',
    ],
  },
  {
    name: 'an API key may have a label and an end',
    yaml: tenants(
      `id: acme, credentials: [{ apiKey: ${SHA('a')}, label: CI & CD }, { apiKey: ${SHA('b')}, expires: 2027-01-01 }, { apiKey: ${SHA('c')}, expires: 2027-02-30T00:00:00Z }, { apiKey: ${SHA('d')}, label: amt_acme_secret }, { apiKey: ${SHA('e')}, label: ci 2, expires: 2027-01-01T00:00:00+02:00 }, { apiKey: ${SHA('f')}, lable: x }]`,
    ),
    problems: [
      '4:121: tenants[0].credentials[0].label: must be 1 to 64 of letters, digits, spaces and ._:@/+-, with a letter or digit at both ends',
      '4:224: tenants[0].credentials[1].expires: must be a time such as 2027-01-01T00:00:00Z, not "2027-01-01"',
      '4:330: tenants[0].credentials[2].expires: must be a time such as 2027-01-01T00:00:00Z, not "2027-02-30T00:00:00Z"',
      '4:444: tenants[0].credentials[3].label: must not be a key',
      '4:680: tenants[0].credentials[5].lable: is not a key here; allowed: apiKey, label, expires',
    ],
  },
  {
    name: 'a tenant lists an API key once',
    yaml: tenants(
      `id: acme, credentials: [{ apiKey: ${SHA('a')}, label: old }, { apiKey: ${SHA('a')}, label: new }]`,
    ),
    problems: [
      `4:128: tenants[0].credentials[1]: the API key ${SHA('a')} is listed twice; it stands also at tenants[0].credentials[0] (FILE:4)`,
    ],
  },
  {
    name: 'quotas have names of their own in their list, and operations that there are',
    yaml: `${LISTENERS}service: { operations: [{ name: read, match: GET /a }] }
quotas:
  - { name: a, of: calls, amount: 1, per: day }
  - { name: a, of: bytes, amount: 1KiB, per: day }
  - { name: b, of: "operation:other", amount: 1, per: day }
  - { name: c, of: "operation:red", amount: 1, per: day }
tenants:
  - { id: acme, ${DEPLOYMENT}, quotas: [{ name: a, of: "event:page", amount: 1, per: month }, { name: d, of: "operation:x", amount: 1, per: day }] }
`,
    problems: [
      '6:13: quotas[1].name: the name a is also that of quotas[0].name (FILE:5)',
      '8:20: quotas[3].of: service.operations has no red, must be one of other, read',
      '10:147: tenants[0].quotas[1].of: service.operations has no x, must be one of other, read',
    ],
  },
  {
    name: 'an issuer is the service’s or one tenant’s; what two claim names both',
    yaml: `${LISTENERS}${AUTHENTICATION}tenants:
  - { id: acme, ${DEPLOYMENT}, jwt: [{ issuer: https://acme.example, audiences: [x], jwks: https://acme.example/jwks }] }
  - { id: globex, ${DEPLOYMENT}, jwt: [{ issuer: https://acme.example, audiences: [x], jwks: https://acme.example/jwks }] }
  - { id: initech, ${DEPLOYMENT}, jwt: [{ issuer: https://i.example, audiences: [x], jwks: https://i.example/jwks }] }
  - { id: hooli, ${DEPLOYMENT}, jwt: [&a { issuer: https://h.example, audiences: [x], jwks: https://h.example/jwks }, { issuer: https://h.example, audiences: [y], jwks: missing.json }] }
`,
    problems: [
      '8:87: tenants[1].jwt[0].issuer: the issuer https://acme.example is claimed by the tenants acme and globex; it stands also at tenants[0].jwt[0].issuer (FILE:7)',
      '9:88: tenants[2].jwt[0].issuer: the issuer https://i.example is claimed by the tenant initech and by the service; it stands also at authentication.jwt[0].issuer (FILE:4)',
      '10:166: tenants[3].jwt[1].issuer: https://h.example is also the issuer at tenants[3].jwt[0].issuer (FILE:10)',
      '10:207: tenants[3].jwt[1].jwks: the file DIR/missing.json does not exist',
    ],
  },
  {
    name: 'a binding in credentials is to an issuer of the service, never to one of a tenant',
    yaml: `${LISTENERS}tenants:
  - { id: acme, ${DEPLOYMENT}, jwt: [{ issuer: https://acme.example, audiences: [x], jwks: https://acme.example/jwks }], credentials: [{ jwt: { issuer: https://acme.example, claims: {} } }] }
`,
    problems: [
      '4:190: tenants[0].credentials[0].jwt.issuer: the issuer https://acme.example is not under authentication.jwt; none is configured',
    ],
  },
  {
    name: 'claim paths are claimed however they are written, and must be paths',
    yaml: `${LISTENERS}authentication:
  jwt: [{ issuer: https://i.example, audiences: [x], jwks: https://i.example/jwks, tenantClaim: [realm, tenant] }]
tenants:
  - { id: acme, ${DEPLOYMENT}, credentials: [{ jwt: { issuer: https://i.example, claims: { realm.org: a } } }] }
  - { id: globex, ${DEPLOYMENT}, credentials: [{ jwt: { issuer: https://i.example, claims: { '["realm","org"]': a } } }] }
  - { id: hooli, ${DEPLOYMENT}, credentials: [{ jwt: { issuer: https://i.example, claims: { realm.tenant: acme } } }] }
`,
    problems: [
      '7:85: tenants[1].credentials[0]: the JWT binding https://i.example {"[\\"realm\\",\\"org\\"]":"a"} is claimed by the tenants acme and globex; it stands also at tenants[0].credentials[0] (FILE:6)',
      '8:144: tenants[2].credentials[0].jwt.claims["realm.tenant"]: tokens with realm.tenant: acme are claimed by the tenants acme (by its id) and hooli; see tenants[0] (FILE:6)',
    ],
  },
  {
    name: 'hours are kept as long as minutes at least, and days as long as hours',
    yaml: `${LISTENERS}ledgerRetention: { minutes: off, hours: 400d, days: 30d }\n`,
    problems: [
      '3:18: ledgerRetention: hours must be kept at least as long as minutes',
      '3:18: ledgerRetention: days must be kept at least as long as hours',
    ],
  },
  {
    name: 'what is kept for ever is long enough',
    yaml: `${LISTENERS}ledgerRetention: { minutes: 1d, hours: off, days: off }\n`,
  },
  {
    name: 'a tenant has at most twenty quotas, those of the service included',
    yaml: `${LISTENERS}quotas: [${Array.from({ length: 20 }, (_, i) => `{ name: q${i}, of: calls, amount: 1, per: day }`).join(', ')}]
tenants:
  - { id: acme, ${DEPLOYMENT}, quotas: [{ name: q0, of: bytes, amount: 1MiB, per: month }] }
  - { id: globex, ${DEPLOYMENT}, quotas: [{ name: x, of: bytes, amount: 1MiB, per: month }] }
`,
    problems: [
      '6:79: tenants[1].quotas: the tenant globex has 21 quotas with those of the service; allowed are 20',
    ],
  },
  {
    name: 'a cap that another one forestalls is none',
    yaml: `${LISTENERS}http1: { maxTarget: 8KiB, maxHead: 8KiB }\n`,
    problems: [
      '3:21: http1.maxTarget: must be smaller than http1.maxHead, of which the target is a part',
    ],
  },
  {
    name: 'the milder steps against overload come first',
    yaml: `${LISTENERS}overload: { stopKeepAlive: 70%, refuseCalls: 90%, refuseConnections: 85% }\n`,
    problems: [
      '3:28: overload.stopKeepAlive: must not be less than overload.shrinkBuffers, which is milder',
      '3:70: overload.refuseConnections: must not be less than overload.refuseCalls, which is milder',
    ],
  },
  {
    name: 'listeners have names of their own',
    yaml: `listeners:
  - { name: a, mode: shared, address: 127.0.0.1:8080 }
  - { name: a, mode: shared, address: 127.0.0.1:8081 }
`,
    problems: ['4:13: listeners[1].name: the name a is also that of listeners[0].name (FILE:3)'],
  },
  {
    name: 'fixed addresses do not collide, in whatever spelling',
    yaml: `listeners:
  - { name: a, mode: shared, address: 127.0.0.1:8080 }
  - { name: b, mode: shared, address: localhost:8080 }
  - { name: c, mode: shared, address: "[::ffff:127.0.0.1]:8080" }
  - { name: d, mode: shared, address: 0.0.0.0:8080 }
  - { name: e, mode: shared, address: 127.0.0.1:9901 }
  - { name: f, mode: shared, address: 127.0.0.2:8080 }
  - { name: g, mode: shared, address: 127.0.0.1:0 }
  - { name: h, mode: shared, address: 127.0.0.1:0 }
  - { name: i, mode: shared, address: "[::1]:8080" }
`,
    problems: [
      '4:39: listeners[1].address: localhost:8080 is taken by 127.0.0.1:8080 of listeners[0].address (FILE:3), must be another address or port',
      '5:39: listeners[2].address: [::ffff:127.0.0.1]:8080 is taken by 127.0.0.1:8080 of listeners[0].address (FILE:3), must be another address or port',
      '6:39: listeners[3].address: 0.0.0.0:8080 is taken by 127.0.0.1:8080 of listeners[0].address (FILE:3), must be another address or port',
      '7:39: listeners[4].address: 127.0.0.1:9901 is taken by 127.0.0.1:9901 of admin.address (by default), must be another address or port',
    ],
  },
  {
    name: 'private listeners do not collide with each other or with shared ones',
    yaml: `listeners:
  - { name: a, mode: shared, address: 127.0.0.1:8080 }
  - { name: b, mode: private, port: 8080, bind: wildcard }
  - { name: c, mode: shared, address: 127.0.1.1:8081 }
  - { name: d, mode: private, port: 8081 }
  - { name: e, mode: private, port: 8082 }
  - { name: f, mode: private, port: 8082, bind: wildcard }
  - { name: g, mode: private, port: 0 }
  - { name: h, mode: private, port: 0 }
tenants:
  - { id: acme, address: 127.0.1.1, ${DEPLOYMENT} }
`,
    problems: [
      '4:37: listeners[1].port: port 8080 on all addresses is taken by 127.0.0.1:8080 of listeners[0].address (FILE:3), must be another address or port',
      '6:37: listeners[3].port: port 8081 on the address of a tenant is taken by 127.0.1.1:8081 of listeners[2].address (FILE:5), must be another address or port',
      '8:37: listeners[5].port: port 8082 of every tenant address is taken by listeners[4].port (FILE:7), must be another port',
    ],
  },
  {
    name: 'hosts and ports of listeners exist',
    yaml: `listeners:
  - { name: a, mode: shared, address: 999.1.1.1:80 }
  - { name: b, mode: shared, address: "[::1::2]:80" }
  - { name: c, mode: shared, address: 127.0.0.1:65536 }
`,
    problems: [
      '3:39: listeners[0].address: 999.1.1.1 is neither an IP address nor a host name',
      '4:39: listeners[1].address: [::1::2] is neither an IP address nor a host name',
      '5:39: listeners[2].address: port 65536 must be from 0 to 65535',
    ],
  },
  {
    name: 'client certificates need authorities, and certificates their files',
    yaml: `listeners:
  - { name: a, mode: shared, address: 127.0.0.1:1, tls: { certificates: [{ cert: none.crt, key: state/none.key }], clientCertificate: required } }
  - { name: b, mode: shared, address: 127.0.0.1:2, tls: { certificates: [{ cert: amt.yaml, key: amt.yaml }], clientCa: . } }
`,
    problems: [
      '3:82: listeners[0].tls.certificates[0].cert: the file DIR/none.crt does not exist',
      '3:97: listeners[0].tls.certificates[0].key: the file DIR/state/none.key does not exist; `npm start` makes it',
      '3:135: listeners[0].tls.clientCertificate: clientCertificate: required needs clientCa, the authorities to verify them against',
      '4:120: listeners[1].tls.clientCa: the file DIR is a directory, must be a file',
    ],
  },
  {
    name: 'a tenant with passthrough has nothing that would need to read its traffic',
    yaml: `${LISTENERS}authentication: { spiffe: { trustDomain: example.org } }
tenants:
  - { id: a, passthrough: true, hosts: [a.example], deployment: { endpoints: [tcp://127.0.0.1:5432] } }
  - { id: b, passthrough: true, ${DEPLOYMENT} }
  - id: c
    passthrough: true
    hosts: [c.example]
    connect: true
    credentials: [{ spiffe: spiffe://example.org/c }, { privateLink: { aws: vpce-0123456789abcdef0 } }]
    deployment: { endpoints: [tls://127.0.0.1:1, https://127.0.0.1:2, tcp://127.0.0.1:3], health: { path: / } }
    limits: { requests: 1/s, body: 1KiB, ingress: 1MiB/s }
    quotas: [{ name: n, of: calls, amount: 1, per: day }, { name: m, of: bytes, amount: 1KiB, per: day }]
`,
    problems: [
      '6:27: tenants[1].passthrough: passthrough: true needs hosts, the names by which TLS is this tenant’s, an address, or a privateLink',
      '6:59: tenants[1].deployment.endpoints[0]: http://127.0.0.1:9101: with passthrough: true the deployment gets the bytes of the client as they are, TLS included; allowed: tcp',
      '10:14: tenants[2].connect: with passthrough: true nothing of the traffic of this tenant is read, so no CONNECT is ever seen',
      '11:19: tenants[2].credentials[0]: with passthrough: true nothing of the traffic of this tenant is read, so this is never seen; allowed: privateLink, hosts and address',
      '12:31: tenants[2].deployment.endpoints[0]: tls://127.0.0.1:1: with passthrough: true the deployment gets the bytes of the client as they are, TLS included; allowed: tcp',
      '12:50: tenants[2].deployment.endpoints[1]: https://127.0.0.1:2: with passthrough: true the deployment gets the bytes of the client as they are, TLS included; allowed: tcp',
      '12:107: tenants[2].deployment.health.path: with passthrough: true checks are connections; leave the path out, HTTP within TLS is not asked for',
    ],
  },
  {
    name: 'hosts are names in ASCII and lower case, and what is meant is said',
    yaml: tenants(
      'id: a, hosts: [Shop.example, münchen.example, "*.MÜNCHEN.example", 10.0.0.1, "*.0.0.1", 0x7f.1, "[::1]", a.b., a_b.example, "a.*.b", "*", "x.example:443", "http://x.example"]',
      `id: b, hosts: [${'a'.repeat(64)}.example, xn--mnchen-3ya.example, "*.localhost", a1.2b]`,
    ),
    problems: [
      '4:22: tenants[0].hosts[0]: must be a host name in lower case, "*." may stand first: shop.example, not "Shop.example"',
      '4:36: tenants[0].hosts[1]: must be a host name in lower case, "*." may stand first: xn--mnchen-3ya.example, not "münchen.example"',
      '4:53: tenants[0].hosts[2]: must be a host name in lower case, "*." may stand first: *.xn--mnchen-3ya.example, not "*.MÜNCHEN.example"',
      '4:74: tenants[0].hosts[3]: must be a name: an IP address is no name, the address of a tenant stands under `address`, not "10.0.0.1"',
      '4:84: tenants[0].hosts[4]: must be a name: an IP address is no name, the address of a tenant stands under `address`, not "*.0.0.1"',
      '4:95: tenants[0].hosts[5]: must be a name: an IP address is no name, the address of a tenant stands under `address`, not "0x7f.1"',
      '4:103: tenants[0].hosts[6]: must be a host name in lower case, "*." may stand first, not "[::1]"',
      '4:112: tenants[0].hosts[7]: must be a host name in lower case, "*." may stand first: a.b, not "a.b."',
      '4:118: tenants[0].hosts[8]: must be a host name in lower case, "*." may stand first, not "a_b.example"',
      '4:131: tenants[0].hosts[9]: must be a host name in lower case, "*." may stand first, not "a.*.b"',
      '4:140: tenants[0].hosts[10]: must be a host name in lower case, "*." may stand first, not "*"',
      '4:145: tenants[0].hosts[11]: must be a host name in lower case, "*." may stand first, not "x.example:443"',
      '4:162: tenants[0].hosts[12]: must be a host name in lower case, "*." may stand first, not "http://x.example"',
      '5:22: tenants[1].hosts[0]: must be a host name in lower case, "*." may stand first, not "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.example"',
    ],
  },
  {
    name: 'a shared TCP listener has something to route by',
    yaml: `listeners:
  - { name: a, mode: shared, address: 127.0.0.1:1, protocol: tcp }
  - { name: b, mode: shared, address: 127.0.0.1:2, protocol: tcp, tls: { certificates: [{ cert: amt.yaml, key: amt.yaml }] } }
  - { name: c, mode: shared, address: 127.0.0.1:3, protocol: tcp, tls: { certificates: [{ cert: amt.yaml, key: amt.yaml }], clientCertificate: optional, clientCa: amt.yaml } }
`,
    problems: ['3:62', '4:62'].map(
      (position, index) =>
        `${position}: listeners[${index}].protocol: protocol: tcp on a shared listener without client certificates: no connection could ever be routed; allowed: tls with clientCertificate optional or required, proxyProtocol: required, protocol auto or http, mode private, or tenants with passthrough`,
    ),
  },
  {
    name: 'a server name of TLS is something to route by, where a tenant has a host',
    yaml: `listeners:
  - { name: b, mode: shared, address: 127.0.0.1:2, protocol: tcp, tls: { certificates: [{ cert: amt.yaml, key: amt.yaml }] } }
tenants:
  - { id: acme, hosts: [acme.example], ${DEPLOYMENT} }
`,
  },
  {
    name: 'issuers stand once',
    yaml: `${LISTENERS}authentication:
  jwt:
    - { issuer: i, audiences: [x], jwks: https://i.example/jwks }
    - { issuer: i, audiences: [x], jwks: none.json }
`,
    problems: [
      '6:17: authentication.jwt[1].issuer: i is also the issuer at authentication.jwt[0].issuer (FILE:5)',
      '6:42: authentication.jwt[1].jwks: the file DIR/none.json does not exist',
    ],
  },
  {
    name: 'tenants have ids of their own',
    yaml: tenants('id: acme', 'id: acme'),
    problems: ['5:11: tenants[1].id: the tenant acme is also at tenants[0].id (FILE:4)'],
  },
  {
    name: 'an address or host belongs to one tenant; one tenant may name it twice',
    yaml: tenants(
      'id: a, address: 10.0.0.1, hosts: [x.example, x.example]',
      'id: b, address: "::ffff:a00:1", hosts: [y.example, x.example]',
      'id: c, address: "2001:DB8:0:0::1"',
      'id: d, address: "2001:db8::1"',
      'id: e, address: 0.0.0.0',
      'id: f, address: "FE80::1"',
    ),
    problems: [
      '5:23: tenants[1].address: the address ::ffff:a00:1 is claimed by the tenants a and b; it stands also at tenants[0].address (FILE:4)',
      '5:58: tenants[1].hosts[1]: the host x.example is claimed by the tenants a and b; it stands also at tenants[0].hosts[0] (FILE:4)',
      '7:23: tenants[3].address: the address 2001:db8::1 is claimed by the tenants c and d; it stands also at tenants[2].address (FILE:6)',
      '8:23: tenants[4].address: 0.0.0.0 is no address of one tenant but of all',
      '9:23: tenants[5].address: FE80::1 is link-local: each interface of a machine can have it, so it tells no tenant from another',
    ],
  },
  {
    name: 'a credential belongs to one tenant',
    yaml:
      tenants(
        `id: a, credentials: [{ spiffe: spiffe://example.org/x }, { certificate: ${SHA('c')} }, { apiKey: ${SHA('k')} }, { jwt: { issuer: https://i.example, claims: { b: x, a: y } } }]`,
        'id: b, credentials: [{ spiffe: spiffe://example.org/x }]',
        `id: c, credentials: [{ certificate: ${SHA('c')} }]`,
        `id: d, credentials: [{ apiKey: ${SHA('k')} }]`,
        'id: e, credentials: [{ jwt: { issuer: https://i.example, claims: { a: y, b: x } } }]',
        `id: f, credentials: [{ apiKey: ${SHA('c')} }]`,
        'id: g, credentials: [{ jwt: { issuer: https://i.example, claims: { tid: a } } }]',
        'id: h, credentials: [{ jwt: { issuer: https://i.example, claims: { tid: a, sub: x } } }]',
      ) + AUTHENTICATION,
    problems: [
      '5:28: tenants[1].credentials[0]: the SPIFFE id spiffe://example.org/x is claimed by the tenants a and b; it stands also at tenants[0].credentials[0] (FILE:4)',
      `6:28: tenants[2].credentials[0]: the certificate ${SHA('c')} is claimed by the tenants a and c; it stands also at tenants[0].credentials[1] (FILE:4)`,
      `7:28: tenants[3].credentials[0]: the API key ${SHA('k')} is claimed by the tenants a and d; it stands also at tenants[0].credentials[2] (FILE:4)`,
      '8:28: tenants[4].credentials[0]: the JWT binding https://i.example {"a":"y","b":"x"} is claimed by the tenants a and e; it stands also at tenants[0].credentials[3] (FILE:4)',
      '10:79: tenants[6].credentials[0].jwt.claims.tid: tokens with tid: a are claimed by the tenants a (by its id) and g; see tenants[0] (FILE:4)',
    ],
  },
  {
    name: 'a private link belongs to one tenant, in whatever spelling',
    yaml: tenants(
      'id: a, credentials: [{ privateLink: { aws: vpce-1 } }, { privateLink: { azure: 7 } }]',
      'id: b, credentials: [{ privateLink: { aws: vpce-1 } }, { privateLink: { gcp: 12345678901234567 } }]',
      'id: c, credentials: [{ privateLink: { azure: "7" } }, { privateLink: { gcp: 7 } }]',
      'id: d, credentials: [{ privateLink: { gcp: "12345678901234567" } }]',
      'id: e, credentials: [{ privateLink: { gcp: 12345678901234568 } }]',
    ),
    problems: [
      '5:28: tenants[1].credentials[0]: the private link aws:vpce-1 is claimed by the tenants a and b; it stands also at tenants[0].credentials[0] (FILE:4)',
      '6:28: tenants[2].credentials[0]: the private link azure:7 is claimed by the tenants a and c; it stands also at tenants[0].credentials[1] (FILE:4)',
      '7:28: tenants[3].credentials[0]: the private link gcp:12345678901234567 is claimed by the tenants b and d; it stands also at tenants[1].credentials[1] (FILE:5)',
    ],
  },
  {
    name: 'PROXY headers are taken from trustedProxies, and there must be some',
    yaml: `listeners:
  - { name: a, mode: shared, address: 127.0.0.1:8080, proxyProtocol: required }
  - { name: b, mode: shared, address: 127.0.0.1:8081 }
`,
    problems: [
      '3:70: listeners[0].proxyProtocol: required needs trustedProxies, the addresses of the balancers whose headers are taken; it is empty, so every connection would be refused',
    ],
  },
  {
    name: 'a private link that nobody tells of is a warning',
    yaml: `listeners:
  - { name: a, mode: shared, address: 127.0.0.1:8080 }
tenants:
  - { id: a, credentials: [{ privateLink: { aws: vpce-1 } }], ${DEPLOYMENT} }
`,
    warnings: [
      '5:43: tenants[0].credentials[0].privateLink: no listener has proxyProtocol: required, so it is never known who comes through it',
    ],
  },
  {
    name: 'headers from everybody are a warning',
    yaml: `listeners:
  - { name: a, mode: shared, address: 127.0.0.1:8080, proxyProtocol: required }
trustedProxies: [10.0.0.0/8, "::/0"]
`,
    warnings: [
      '3:70: listeners[0].proxyProtocol: every peer is in trustedProxies, so anybody can claim any address and any private link',
    ],
  },
  {
    name: 'a private link makes connections on a shared TCP listener routable',
    yaml: `listeners:
  - { name: a, mode: shared, address: 127.0.0.1:8080, protocol: tcp, proxyProtocol: required }
trustedProxies: [10.0.0.0/8]
tenants:
  - { id: a, credentials: [{ privateLink: { aws: vpce-1 } }], ${DEPLOYMENT} }
`,
  },
  {
    name: 'credentials refer to what is configured',
    yaml: tenants(
      'id: a, credentials: [{ spiffe: spiffe://example.org/x }, { jwt: { issuer: i, claims: {} } }]',
    ),
    problems: [
      '4:38: tenants[0].credentials[0].spiffe: a spiffe credential needs authentication.spiffe',
      '4:81: tenants[0].credentials[1].jwt.issuer: the issuer i is not under authentication.jwt; none is configured',
    ],
  },
  {
    name: 'SPIFFE ids are valid, of the one trust domain, with a wildcard only at the end',
    yaml:
      tenants(
        'id: a, credentials: [{ spiffe: spiffe://example.com/x }]',
        'id: b, credentials: [{ spiffe: spiffe://example.org/x/* }]',
        'id: c, credentials: [{ spiffe: spiffe://example.org/*/x }]',
        'id: d, credentials: [{ spiffe: spiffe://example.org/x* }]',
        'id: e, credentials: [{ spiffe: spiffe://example.org/x//y }]',
        'id: f, credentials: [{ spiffe: spiffe://example.org/x/../y }]',
        'id: g, credentials: [{ spiffe: spiffe://example.org/x?y }]',
        'id: h, credentials: [{ jwt: { issuer: i, claims: {} } }]',
      ) + AUTHENTICATION,
    problems: [
      '4:38: tenants[0].credentials[0].spiffe: spiffe://example.com/x is in the trust domain example.com; allowed: example.org, as authentication.spiffe says',
      '6:38: tenants[2].credentials[0].spiffe: spiffe://example.org/*/x: "*" may only stand last, as /*',
      '7:38: tenants[3].credentials[0].spiffe: spiffe://example.org/x*: "*" may only stand last, as /*',
      ...['x//y', 'x/../y', 'x?y'].map(
        (path, index) =>
          `${8 + index}:38: tenants[${4 + index}].credentials[0].spiffe: spiffe://example.org/${path} is no SPIFFE id; segments are of letters, digits, ".", "_" and "-"`,
      ),
      '11:45: tenants[7].credentials[0].jwt.issuer: the issuer i is not under authentication.jwt; allowed: https://i.example',
    ],
  },
  {
    name: 'an ejection does not end before it begins',
    yaml: `${LISTENERS}tenants:
  - { id: a, deployment: { endpoints: [http://h:1], ejection: { base: 10m } } }
  - { id: b, deployment: { endpoints: [http://h:1], ejection: { base: 5m } } }
`,
    problems: [
      '4:63: tenants[0].deployment.ejection.max: the longest ejection must not be shorter than base, the first one',
    ],
  },
  {
    name: 'endpoints of HTTP/2 are served, and those with TLS use the tls of the deployment',
    yaml: `${LISTENERS}tenants:
  - { id: a, deployment: { endpoints: [h2://h:1], tls: { serverName: h } } }
  - { id: b, deployment: { endpoints: [h2c://h:1] } }
`,
  },
  {
    name: 'endpoints of HTTP/2 alone are asked by gRPC, and not for a path as well',
    yaml: `${LISTENERS}tenants:
  - { id: a, deployment: { endpoints: [h2://h:1, h2c://h:1], health: { grpc: orders.v1.Orders } } }
  - { id: b, deployment: { endpoints: [h2c://h:1, http://h:1], health: { grpc: "", path: / } } }
  - { id: c, deployment: { endpoints: [h2c://h:1], health: { grpc: "a b" } } }
`,
    problems: [
      '5:80: tenants[1].deployment.health.grpc: there is a path as well: endpoints are asked by gRPC or for a path',
      '5:80: tenants[1].deployment.health.grpc: gRPC is spoken to h2 and h2c endpoints alone, and http://h:1 is none',
      '6:68: tenants[2].deployment.health.grpc: must be the name of a service, such as orders.v1.Orders, or "" for the whole server, not "a b"',
    ],
  },
  {
    name: 'caps of HTTP/2 have bounds',
    yaml: `${LISTENERS}http2:
  maxStreams: 0
  streamWindow: 2MiB
  connectionWindow: 16KiB
  maxHeaderList: 1MiB
  pingInterval: 10ms
  pingTimeout: 6m
  maxConnectionAge: 500ms
  maxConnectionStreams: 7
`,
    problems: [
      '4:15: http2.maxStreams: must be a number from 1 to 10000, not "0"',
      '6:21: http2.connectionWindow: must be at least 64KiB, not "16KiB"',
      '7:18: http2.maxHeaderList: must be at most 256KiB, not "1MiB"',
      '8:17: http2.pingInterval: must be off or from 1s to 1h, not "10ms"',
      '9:16: http2.pingTimeout: must be from 1s to 5m, not "6m"',
      '10:21: http2.maxConnectionAge: must be off or from 1s to 30d, not "500ms"',
      '11:25: http2.maxConnectionStreams: must be off or a number from 100 to 1000000000, not "7"',
    ],
  },
  {
    name: 'a stream has no larger window than its connection',
    yaml: `${LISTENERS}http2: { streamWindow: 2MiB, pingInterval: off, maxConnectionAge: off, maxConnectionStreams: off }\n`,
    problems: [
      '3:24: http2.streamWindow: must not be larger than http2.connectionWindow, which all streams of a connection share',
    ],
  },
  {
    name: 'deployments can be reached by this version',
    yaml: `${LISTENERS}tenants:
  - { id: a, deployment: { endpoints: [h2://h:1, h2c://h:0, http://h:0, tcp://h:65536, tls://1.2.3:1] } }
  - { id: b, deployment: { endpoints: [https://h:1], tls: { cert: amt.yaml } } }
  - { id: c, deployment: { endpoints: [https://h:1], tls: { key: amt.yaml, ca: none } } }
`,
    problems: [
      '4:50: tenants[0].deployment.endpoints[1]: port 0 must be from 1 to 65535',
      '4:61: tenants[0].deployment.endpoints[2]: port 0 must be from 1 to 65535',
      '4:73: tenants[0].deployment.endpoints[3]: port 65536 must be from 1 to 65535',
      '4:88: tenants[0].deployment.endpoints[4]: 1.2.3 is neither an IP address nor a host name',
      '5:67: tenants[1].deployment.tls.cert: cert needs key',
      '6:66: tenants[2].deployment.tls.key: key needs cert',
      '6:80: tenants[2].deployment.tls.ca: the file DIR/none does not exist',
    ],
  },
  {
    name: 'what is suspicious, but may be meant, is a warning',
    yaml: `listeners:
  - { name: a, mode: private, port: 1 }
  - { name: b, mode: shared, address: 127.0.0.1:2, tls: { certificates: [{ cert: amt.yaml, key: amt.yaml }], clientCa: amt.yaml } }
authentication: { jwt: [{ issuer: i, audiences: [x], jwks: http://i.example/jwks }] }
tenants:
  - { id: a, deployment: { endpoints: [http://h:1], tls: { serverName: h } } }
`,
    warnings: [
      '3:5: listeners[0]: no tenant has an address, so nothing reaches the private listener a',
      '4:120: listeners[1].tls.clientCa: clientCa is not used while clientCertificate is off; allowed: optional or required',
      '5:60: authentication.jwt[0].jwks: keys fetched without TLS can be exchanged on the way; use https',
      '7:58: tenants[0].deployment.tls: no endpoint is https, h2 or tls, so this is not used and traffic is not encrypted',
    ],
  },
]

for (const { name, yaml, problems = [], warnings = [] } of CASES) {
  await test(name, async t => {
    const directory = t.testdir({ 'amt.yaml': MIXER + yaml })
    const short = (line: string): string =>
      line
        .replace(`${directory}/amt.yaml:`, '')
        .replaceAll(`${directory}/amt.yaml`, 'FILE')
        .replaceAll(directory, 'DIR')
    const result = loadConfig(`${directory}/amt.yaml`, { env: {} })
    const found = 'problems' in result ? result.problems.map(formatProblem) : []
    t.same(found.map(short), problems)
    t.same('warnings' in result ? result.warnings.map(short) : [], warnings)
  })
}
