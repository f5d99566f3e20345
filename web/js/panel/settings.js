import { app } from '../../../../scripts/app.js'

const widgetOf = (node, name) => node.widgets?.find((widget) => widget.name === name)

/** Whether another node feeds this widget, so that its value here does not count. */
export function isLinked(node, name) {
  return (node.inputs ?? []).some((input, slot) => input.widget?.name === name && node.isInputConnected(slot))
}

export function readWidget(node, name, otherwise) {
  return widgetOf(node, name)?.value ?? otherwise
}

/** The value of a widget, or where another node feeds it what the last run `used`. */
function readUsed(node, name, used, otherwise) {
  return (isLinked(node, name) ? used?.[name] : null) ?? readWidget(node, name, otherwise)
}

/** The value of a strategy's setting; hosts that show all settings at once have one value for "the strategy's own". */
export function readSetting(node, setting, used) {
  const value = readUsed(node, setting.widget, used, setting.default)
  return value === setting.own ? setting.default : value
}

/** Set a widget as if the user had typed it: the next run uses the value. */
export function writeWidget(node, name, value) {
  const widget = widgetOf(node, name)
  if (!widget || widget.value === value) return
  widget.value = value
  widget.callback?.(value, app.canvas, node)
  node.setDirtyCanvas?.(true, true)
}

export function readStrategy(node, choices, used) {
  return readUsed(node, choices.widget, used, choices.strategies[0].name)
}

/** The node's widgets as a request wants them: `{ strategy, settings, beside }`. */
export function readSettings(node, choices, used) {
  const strategy = readStrategy(node, choices, used)
  const known = choices.strategies.find((other) => other.name === strategy)
  const settings = {}
  for (const setting of known?.settings ?? []) {
    settings[setting.name] = readSetting(node, setting, used)
  }
  const beside = Object.fromEntries(
    [...choices.beside, choices.space].map((setting) => [setting.name, readSetting(node, setting, used)]),
  )
  return { strategy, settings, beside }
}
