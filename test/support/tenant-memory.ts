/**
 * Prints what a tenant takes of a worker's memory, in bytes of the heap: `node --expose-gc tenant-memory.ts COUNT`. Each has
 * an address, a host, an API key and a pinned certificate, and a deployment of one endpoint.
 */
import { createHash } from 'node:crypto'
import { tenantSchema } from '../../src/config/tenant-schema.ts'
import { encodeTenant } from '../../src/config/tenant-text.ts'
import { TenantDirectory } from '../../src/proxy/tenant/directory.ts'
import { PendingChange } from '../../src/proxy/tenant/pending-change.ts'

const PIECE = 1_000
const count = Number(process.argv[2])
const digestOf = (text: string): string =>
  `sha256:${createHash('sha256').update(text).digest('hex')}`
const template = tenantSchema.parse({
  id: 'template',
  deployment: { endpoints: ['http://127.0.0.1:8080'] },
})

function textOf(index: number): string {
  const id = `tenant-${String(index).padStart(6, '0')}`
  const claims = {
    address: `10.${index >> 16}.${(index >> 8) & 255}.${index & 255}`,
    hosts: [`${id}.example.com`],
    credentials: [
      { apiKey: digestOf(`key ${id}`) },
      { certificate: digestOf(`certificate ${id}`) },
    ],
  }
  return encodeTenant(tenantSchema.parse({ ...template, ...claims, id, limits: {} }))
}

function heap(): number {
  globalThis.gc?.()
  return process.memoryUsage().heapUsed
}

const before = heap()
const pending = new PendingChange(TenantDirectory.empty())
for (let index = 0; index < count; index += PIECE) {
  const texts = Array.from({ length: PIECE }, (_, offset) => textOf(index + offset))
  // As they come out of a message: each in memory of its own.
  pending.take({ changed: JSON.parse(JSON.stringify(texts)) as string[], removed: [] })
}
const { directory } = await pending.finish(1, async () => {})
process.stdout.write(`${Math.round((heap() - before) / directory.size)}\n`)
