-- Stemwright for Tidal 1.7 to 1.9: for GHCi, after `import Sound.Tidal.Context`.
--
-- In your BootTidal.hs, load this before the stream is started, and give the stream a second target:
--
--   :script /where/it/is/BootStemwright.hs
--   tidal <- startStream defaultConfig [(superdirtTarget, [superdirtShape]), (stemwrightTarget, stemwrightShapes)]
--
-- Then (each job needs a name nobody had before: it also names the samples that superdirt.scd loads):
--
--   once $ stemOf "verse" "bass" "/music/song.wav"    -- a part of a file
--   once $ stemOfLast "jam" "drums" 4                 -- of the last seconds that the server's input heard
--   d1 $ loopAt 2 $ chop 16 $ s "verse" # n 0         -- n 1: what is left without it
--   once $ noStem "jam"                               -- cancel

:{
let stemwrightTarget = Target {oName = "stemwright", oAddress = "127.0.0.1", oPort = 7836, oBusPort = Nothing, oLatency = 0.2, oWindow = Nothing, oSchedule = Pre BundleStamp, oHandshake = False}
    asking key value = OSC "/stemwright/extract" $ ArgList [("stemJob", Nothing), ("stemPromptKey", Just (VS "prompt")), ("stemPrompt", Nothing), (value ++ "Key", Just (VS key)), (value, Nothing)]
    stemwrightShapes = [asking "path" "stemPath", asking "last" "stemLast", OSC "/stemwright/cancel" $ ArgList [("stemCancel", Nothing)]]
    words' = \job prompt -> pS "stemJob" (pure job) # pS "stemPrompt" (pure prompt)
    stemOf = \job prompt path -> words' job prompt # pS "stemPath" (pure path)
    stemOfLast = \job prompt seconds -> words' job prompt # pF "stemLast" (pure seconds)
    noStem = \job -> pS "stemCancel" (pure job)
:}
