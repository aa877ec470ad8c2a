/**
 * A tenant as text: the JSON of its configuration without what the schema fills in by itself. So it travels between the
 * processes, and so an idle tenant is kept: 100,000 tenants as objects would take five times the memory.
 */
import { z } from 'zod'
import { sameConfig } from '../core/same-config.ts'
import type { TenantConfig } from './schema.ts'
import { tenantSchema } from './tenant-schema.ts'

/** A key of a map in the schema. */
interface Field {
  readonly name: string
  /** What the schema makes of an absent key; undefined where that stays absent. Shared by all that is decoded: frozen. */
  readonly fallback: unknown
  /** Of its value, or of the elements of its value, where these are maps. */
  readonly fields: readonly Field[] | undefined
}

type Json = Record<string, unknown>

/** Anything above would take two bytes a character for the whole text. */
// oxlint-disable-next-line no-control-regex -- it is a range of characters
const BEYOND_LATIN1 = /[^\u0000-\u00ff]/g

/**
 * The text of a validated tenant; the same for two that say the same, up to the order of keys in maps that have no schema.
 * One Latin-1 line.
 */
export function encodeTenant(config: TenantConfig): string {
  const text = JSON.stringify(without(config, TENANT_FIELDS))
  return text.replaceAll(BEYOND_LATIN1, character => {
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
  })
}

/** The tenant that `encodeTenant` made `text` of. Throws for other text. */
export function decodeTenant(text: string): TenantConfig {
  return completed(JSON.parse(text) as Json, TENANT_FIELDS) as unknown as TenantConfig
}

/** The id in the text of a tenant, which begins with it. */
export function idInText(text: string): string {
  return text.slice(ID_BEGINS.length, text.indexOf('"', ID_BEGINS.length))
}

/** The address in the text of a tenant, which stands behind the id where there is one: reading all of the text takes ten times as long. */
export function addressInText(text: string): string | undefined {
  const idEnd = text.indexOf('"', ID_BEGINS.length) + 1
  if (!text.startsWith(ADDRESS_BEGINS, idEnd)) return undefined
  const start = idEnd + ADDRESS_BEGINS.length
  return text.slice(start, text.indexOf('"', start))
}

const ID_BEGINS = '{"id":"'
const ADDRESS_BEGINS = ',"address":"'

function without(value: Readonly<Json>, fields: readonly Field[]): Json {
  const kept: Json = {}
  for (const { name, fallback, fields: inner } of fields) {
    const given = value[name]
    if (given === undefined || (fallback !== undefined && sameConfig(given, fallback))) continue
    if (inner === undefined) kept[name] = given
    else if (Array.isArray(given)) kept[name] = given.map(each => without(each as Json, inner))
    else kept[name] = without(given as Json, inner)
  }
  return kept
}

function completed(value: Json, fields: readonly Field[]): Json {
  for (const { name, fallback, fields: inner } of fields) {
    const given = value[name]
    if (given === undefined) {
      if (fallback !== undefined) value[name] = fallback
    } else if (inner !== undefined) {
      if (!Array.isArray(given)) completed(given as Json, inner)
      else for (const each of given) completed(each as Json, inner)
    }
  }
  return value
}

function fieldsOf(schema: z.ZodObject): Field[] {
  return Object.entries(schema.shape).map(([name, value]) => {
    const type = value as z.ZodType
    const map = mapIn(type)
    return {
      name,
      fallback: deepFreeze(type.safeParse(undefined).data),
      fields: map === undefined ? undefined : fieldsOf(map),
    }
  })
}

/** The map that `schema` is, or is a list of. What has several forms has none here: it travels as it is. */
function mapIn(schema: z.ZodType): z.ZodObject | undefined {
  const bare = unwrapped(schema)
  const one = bare instanceof z.ZodArray ? unwrapped(bare.element as z.ZodType) : bare
  return one instanceof z.ZodObject ? one : undefined
}

function unwrapped(schema: z.ZodType): z.ZodType {
  const wraps =
    schema instanceof z.ZodDefault ||
    schema instanceof z.ZodPrefault ||
    schema instanceof z.ZodOptional ||
    schema instanceof z.ZodReadonly
  return wraps ? unwrapped(schema.unwrap() as z.ZodType) : schema
}

function deepFreeze(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value
  for (const child of Object.values(value)) deepFreeze(child)
  return Object.freeze(value)
}

const TENANT_FIELDS = fieldsOf(tenantSchema)
