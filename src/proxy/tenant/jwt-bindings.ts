import type { Tenant } from './tenant.ts'

/** A verified token's payload. */
export type Claims = Readonly<Record<string, unknown>>

/** All bindings of one issuer that name the same claims: their values lead to the tenant. */
interface Shape {
  readonly names: readonly string[]
  readonly tenants: Map<string, Tenant>
}

/**
 * Which tenant a token belongs to by its claims, for the tenants whose `credentials` say so. Filled while a directory
 * is compiled, then only read.
 */
export class JwtBindings {
  readonly #shapes = new Map<string, Shape[]>()

  /** Returns the tenant that has claimed just this already, if it is another one; then nothing is added. */
  add(
    tenant: Tenant,
    issuer: string,
    claims: Readonly<Record<string, string>>,
  ): Tenant | undefined {
    const names = Object.keys(claims).toSorted()
    const shape = this.#shape(issuer, names)
    const key = JSON.stringify(names.map(name => claims[name]))
    const owner = shape.tenants.get(key)
    if (owner !== undefined && owner !== tenant) return owner
    shape.tenants.set(key, tenant)
    return undefined
  }

  /**
   * The binding with most claims wins; an empty one takes every token of its issuer. Two tenants at the same number of
   * claims are `'ambiguous'`: the caller must not guess.
   */
  find(issuer: string, claims: Claims): Tenant | 'ambiguous' | undefined {
    const shapes = this.#shapes.get(issuer)
    if (shapes === undefined) return undefined
    let found: Tenant | undefined
    let depth = -1
    for (const { names, tenants } of shapes) {
      if (names.length < depth) break
      const tenant = tenants.get(valuesKey(names, claims))
      if (tenant === undefined) continue
      if (found !== undefined && found !== tenant) return 'ambiguous'
      found = tenant
      depth = names.length
    }
    return found
  }

  #shape(issuer: string, names: readonly string[]): Shape {
    let shapes = this.#shapes.get(issuer)
    if (shapes === undefined) {
      shapes = []
      this.#shapes.set(issuer, shapes)
    }
    const same = shapes.find(shape => shape.names.join('\0') === names.join('\0'))
    if (same !== undefined) return same
    const shape = { names, tenants: new Map<string, Tenant>() }
    shapes.push(shape)
    shapes.sort((a, b) => b.names.length - a.names.length)
    return shape
  }
}

/** Only strings count, and only own properties: `""` is no key, since every key is a JSON array. */
function valuesKey(names: readonly string[], claims: Claims): string {
  const values: string[] = []
  for (const name of names) {
    const value = Object.hasOwn(claims, name) ? claims[name] : undefined
    if (typeof value !== 'string') return ''
    values.push(value)
  }
  return JSON.stringify(values)
}
