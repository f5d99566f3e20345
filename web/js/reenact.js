import { api } from '../../../scripts/api.js'
import { app } from '../../../scripts/app.js'
import { showNotes } from './notes.js'
import { openPanel, tellOfFailure } from './panel/panel.js'

// A node with a VIDEO input is taken for one that shows a video; these show pictures.
const SHOWS_PICTURES = new Set(['ReenactLoadReferences', 'ReenactEncodeMotion'])
const HAS_PANEL = 'ReenactFuseReferences'
const NO_NOTES = 'ReenactCompare' // its text is a table, which has an output of its own

app.registerExtension({
  name: 'reenact.previews',
  nodeCreated(node) {
    if (SHOWS_PICTURES.has(node.comfyClass)) node.previewMediaType = 'image'
  },
})

function openFor(node, output) {
  const run = output?.reenact_panel?.[0]
  if (run) openPanel(node, run)
}

app.registerExtension({
  name: 'reenact.panel',
  setup() {
    api.addEventListener('execution_error', ({ detail }) => tellOfFailure(detail))
  },
  nodeCreated(node) {
    if (node.comfyClass !== HAS_PANEL) return
    const before = node.onExecuted
    node.onExecuted = function (output, ...rest) {
      before?.call(this, output, ...rest)
      openFor(this, output)
    }
  },
  // The results of an earlier run come back with their workflow's tab.
  onNodeOutputsUpdated(outputs) {
    for (const node of app.graph?.nodes ?? []) {
      if (node.comfyClass === HAS_PANEL) openFor(node, outputs[node.id])
    }
  },
})

function hasNotes(node) {
  return node.comfyClass?.startsWith('Reenact') && node.comfyClass !== NO_NOTES
}

app.registerExtension({
  name: 'reenact.notes',
  nodeCreated(node) {
    if (!hasNotes(node)) return
    const before = node.onExecuted
    node.onExecuted = function (output, ...rest) {
      before?.call(this, output, ...rest)
      showNotes(this, output?.text?.[0] ?? '')
    }
  },
  onNodeOutputsUpdated(outputs) {
    for (const node of app.graph?.nodes ?? []) {
      if (hasNotes(node) && outputs[node.id]) showNotes(node, outputs[node.id].text?.[0] ?? '')
    }
  },
})
