import { test } from 'tap'
import type { TenantConfig } from '../../../../src/config/schema.ts'
import { tenantSchema } from '../../../../src/config/tenant-schema.ts'
import {
  type ArrivalClaims,
  CallEvidence,
  CredentialMemo,
  NO_CLAIMS,
} from '../../../../src/proxy/credential/call-evidence.ts'
import { TenantDirectory } from '../../../../src/proxy/tenant/directory.ts'

const LINK = 'vpce-1'

function tenant(id: string, rest: Record<string, unknown> = {}): TenantConfig {
  return tenantSchema.parse({ id, deployment: { endpoints: ['http://127.0.0.1:9'] }, ...rest })
}

function arrivedBy(mode: 'shared' | 'private', arrival: Partial<ArrivalClaims>): CallEvidence {
  return new CallEvidence({
    mode,
    http: true,
    arrival: { ...NO_CLAIMS, ...arrival },
    certificate: undefined,
    serverName: '',
    secure: false,
    source: '',
    memo: new CredentialMemo(),
  })
}

const having = { credentials: [{ privateLink: { aws: LINK } }] }

/** What the evidence says while a thing goes from acme to nobody, to globex, and back. */
const STEPS = [
  ['acme', 'acme'],
  ['nobody', undefined],
  ['globex', 'tenant_mismatch'],
  ['acme', 'acme'],
] as const

await test('an address is held to the tenant that had it when the connection came', async t => {
  const evidence = arrivedBy('private', { address: '10.0.0.1', addressOwner: 'acme' })
  for (const [index, [owner, expected]] of STEPS.entries()) {
    const directory = TenantDirectory.compile(
      ['acme', 'globex'].map(id => tenant(id, id === owner ? { address: '10.0.0.1' } : {})),
      index,
    )
    evidence.resolve(directory)
    const found = evidence.addressTenant
    t.equal(typeof found === 'object' ? found.id : found, expected, `${index}: ${owner}`)
    t.equal(evidence.stranded, expected !== 'acme', 'no call can be anybody’s')
  }
})

await test('so is a private link; without an owner other evidence still counts', async t => {
  const evidence = arrivedBy('shared', { link: `aws:${LINK}`, linkOwner: 'acme' })
  for (const [index, [owner, expected]] of STEPS.entries()) {
    const directory = TenantDirectory.compile(
      ['acme', 'globex'].map(id => tenant(id, id === owner ? having : {})),
      index,
    )
    evidence.resolve(directory)
    const found = evidence.linkTenant
    t.equal(typeof found === 'object' ? found.id : found, expected, `${index}: ${owner}`)
    t.equal(evidence.stranded, expected === 'tenant_mismatch')
  }
})

await test('a link of nobody becomes that of the first tenant that claims it', async t => {
  const evidence = arrivedBy('shared', { link: `aws:${LINK}` })
  evidence.resolve(TenantDirectory.compile([tenant('acme')], 1))
  t.equal(evidence.linkTenant, undefined)
  const directory = TenantDirectory.compile([tenant('acme', having)], 2)
  evidence.resolve(directory)
  t.equal(evidence.linkTenant, directory.byId('acme'))
})
